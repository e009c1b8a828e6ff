"""Posters for contents that come without pictures: an SVG drawn from the content id, coloured by genre.

In: content id, type and genres. Out: the same SVG at every call, so that browsers may keep it.
"""

import colorsys
import hashlib
import random
from collections.abc import Sequence

_WIDTH, _HEIGHT = 300, 450

# genre -> hues (degrees) of background and accent, and how saturated they are (percent)
_PALETTES: dict[str, tuple[int, int, int]] = {
    "action": (8, 38, 70), "adventure": (186, 36, 60), "animation": (322, 48, 68), "childrens": (204, 54, 66),
    "comedy": (32, 350, 72), "crime": (222, 4, 32), "documentary": (205, 165, 26), "drama": (262, 318, 44),
    "fantasy": (158, 276, 50), "film_noir": (30, 40, 6), "horror": (352, 2, 62), "musical": (300, 26, 62),
    "mystery": (248, 190, 46), "romance": (342, 16, 58), "sci_fi": (194, 282, 66), "thriller": (212, 172, 44),
    "war": (78, 34, 28), "western": (26, 14, 56),
}  # fmt: skip


def poster(content_id: str, content_type: str, genres: Sequence[str]) -> str:
    """An SVG of 300 by 450, without text, dark enough at its foot for a white title."""
    seed = int.from_bytes(hashlib.sha256(content_id.encode()).digest()[:8], "big")
    chance = random.Random(seed)  # noqa: S311  a picture, not a secret
    known = [_PALETTES[genre] for genre in genres if genre in _PALETTES]
    base, accent, saturation = known[0] if known else (chance.randrange(360), chance.randrange(360), 45)
    if len(known) > 1:
        accent = known[1][0]
    base = (base + chance.randrange(-12, 13)) % 360
    shapes = {"article": _pages, "podcast": _waves}.get(content_type) or chance.choice(
        (_hills, _rings, _skyline, _beams, _discs, _stripes)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'preserveAspectRatio="xMidYMid slice">'
        '<defs><linearGradient id="sky" x1="0" y1="0" x2=".35" y2="1">'
        f'<stop offset="0" stop-color="hsl({base} {saturation}% {chance.randrange(42, 52)}%)"/>'
        f'<stop offset="1" stop-color="hsl({(base + 24) % 360} {saturation}% 15%)"/></linearGradient>'
        '<linearGradient id="foot" x1="0" y1="0" x2="0" y2="1"><stop offset=".45" stop-color="#000" stop-opacity="0"/>'
        '<stop offset="1" stop-color="#000" stop-opacity=".8"/></linearGradient></defs>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="url(#sky)"/>'
        f"{shapes(chance, accent, saturation)}"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="url(#foot)"/></svg>'
    )


def tile_colours(content_id: str, genres: Sequence[str]) -> tuple[str, str]:
    """The poster's background and accent as `#rrggbb`, for mail programs, which show neither SVG nor hsl()."""
    seed = int.from_bytes(hashlib.sha256(content_id.encode()).digest()[:8], "big")
    known = [_PALETTES[genre] for genre in genres if genre in _PALETTES]
    base, accent, saturation = known[0] if known else (seed % 360, seed // 360 % 360, 45)
    # white text on the background keeps a contrast of 4.5 at every hue
    return _hex(base + seed % 25 - 12, saturation, 28), _hex(accent, saturation + 10, 60)


def _hex(hue: int, saturation: int, lightness: int) -> str:
    parts = colorsys.hls_to_rgb(hue % 360 / 360, lightness / 100, min(saturation, 100) / 100)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


def _hsl(hue: int, saturation: int, lightness: int) -> str:
    return f"hsl({hue % 360} {saturation}% {lightness}%)"


def _hills(chance: random.Random, hue: int, saturation: int) -> str:
    sun_x, sun_y, radius = chance.randrange(70, 230), chance.randrange(90, 180), chance.randrange(38, 66)
    parts = [f'<circle cx="{sun_x}" cy="{sun_y}" r="{radius}" fill="{_hsl(hue, saturation + 18, 72)}"/>']
    for layer in range(3):
        y = 210 + layer * 62
        a, b = chance.randrange(-60, 60), chance.randrange(-60, 60)
        parts.append(
            f'<path d="M0 {y + a} Q80 {y - 70 + b} 160 {y + 10} T{_WIDTH} {y - a} V{_HEIGHT} H0 Z" '
            f'fill="{_hsl(hue + layer * 10, saturation, 40 - layer * 11)}"/>'
        )
    return "".join(parts)


def _rings(chance: random.Random, hue: int, saturation: int) -> str:
    x, y = chance.randrange(60, 240), chance.randrange(110, 240)
    return "".join(
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="none" stroke="{_hsl(hue + radius // 6, saturation + 12, 66)}" '
        f'stroke-width="{chance.randrange(3, 15)}" opacity="{0.9 - radius / 420:.2f}"/>'
        for radius in range(22, 280, 34)
    )


def _skyline(chance: random.Random, hue: int, saturation: int) -> str:
    moon = (
        f'<circle cx="{chance.randrange(60, 240)}" cy="{chance.randrange(70, 140)}" r="{chance.randrange(20, 44)}" '
        f'fill="{_hsl(hue, 40, 84)}"/>'
    )
    parts, x = [moon], -10
    while x < _WIDTH:
        width, top = chance.randrange(26, 62), chance.randrange(150, 330)
        parts.append(
            f'<rect x="{x}" y="{top}" width="{width}" height="{_HEIGHT - top}" '
            f'fill="{_hsl(hue, saturation, chance.randrange(14, 34))}"/>'
        )
        parts += [
            f'<rect x="{x + chance.randrange(5, max(6, width - 10))}" y="{row}" width="6" height="9" '
            f'fill="{_hsl(hue + 40, 80, 74)}" opacity=".75"/>'
            for row in range(top + 14, min(top + 130, _HEIGHT), 20)
            if chance.random() < 0.55
        ]
        x += width + chance.randrange(0, 9)
    return "".join(parts)


def _beams(chance: random.Random, hue: int, saturation: int) -> str:
    x = chance.randrange(90, 210)
    beams = "".join(
        f'<path d="M{x} -10 L{x + spread - 34} {_HEIGHT} L{x + spread + 34} {_HEIGHT} Z" '
        f'fill="{_hsl(hue + spread // 8, saturation + 10, 70)}" opacity="{chance.uniform(0.16, 0.42):.2f}"/>'
        for spread in range(-240, 241, 96)
    )
    return beams + f'<circle cx="{x}" cy="0" r="46" fill="{_hsl(hue + 20, saturation + 14, 82)}" opacity=".85"/>'


def _discs(chance: random.Random, hue: int, saturation: int) -> str:
    return "".join(
        f'<circle cx="{chance.randrange(0, _WIDTH)}" cy="{chance.randrange(20, 340)}" r="{chance.randrange(26, 110)}" '
        f'fill="{_hsl(hue + chance.randrange(-30, 30), saturation + 8, chance.randrange(42, 74))}" '
        f'opacity="{chance.uniform(0.3, 0.65):.2f}"/>'
        for _ in range(7)
    )


def _stripes(chance: random.Random, hue: int, saturation: int) -> str:
    angle, width = chance.choice((-35, -20, 20, 35)), chance.randrange(18, 40)
    bars = "".join(
        f'<rect x="{x}" y="-200" width="{width}" height="900" '
        f'fill="{_hsl(hue + x // 9, saturation + 6, chance.randrange(34, 70))}" opacity=".55"/>'
        for x in range(-160, 470, width * 2)
    )
    return f'<g transform="rotate({angle} 150 225)">{bars}</g>'


def _pages(chance: random.Random, hue: int, saturation: int) -> str:
    """An article: a sheet with lines of text."""
    tilt = chance.randrange(-9, 10)
    lines = "".join(
        f'<rect x="84" y="{y}" width="{chance.randrange(70, 134)}" height="8" rx="4" fill="{_hsl(hue, 20, 60)}"/>'
        for y in range(176, 300, 20)
    )
    return (
        f'<g transform="rotate({tilt} 150 210)"><rect x="62" y="78" width="176" height="250" rx="8" '
        f'fill="{_hsl(hue, 30, 92)}" opacity=".94"/><rect x="84" y="102" width="132" height="54" rx="4" '
        f'fill="{_hsl(hue, saturation + 15, 52)}"/>{lines}</g>'
    )


def _waves(chance: random.Random, hue: int, saturation: int) -> str:
    """A podcast: a sound wave."""
    bars = []
    for place, x in enumerate(range(42, 260, 18)):
        height = chance.randrange(30, 190) * (1 - abs(place - 6) / 11)
        bars.append(
            f'<rect x="{x}" y="{200 - height / 2:.0f}" width="10" height="{height:.0f}" rx="5" '
            f'fill="{_hsl(hue + place * 4, saturation + 20, 72)}"/>'
        )
    return "".join(bars)
