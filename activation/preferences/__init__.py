"""What subscribers choose about their own data, and the signed links that lead them there."""
