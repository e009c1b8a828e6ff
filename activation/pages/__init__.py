"""What people see: templates, one design system, generated artwork. Nothing here decides anything."""
