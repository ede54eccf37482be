#!/usr/bin/env python3
"""Records the dashboard at work as an animated SVG for the README: the real program on the sample clip, in tmux.

    python3 scripts/recording.py docs/dashboard.svg

Needs a release build, the sample clip (`make build`), FFmpeg's tools and tmux.
"""

import argparse
import html
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/meshreel"
SAMPLE = ROOT / "fixtures/media/demo.mp4"
CONFIG = """
state = "state"
[models]
folder = "MODELS"
[jobs]
settle = 0.5
concurrent = 2
[dashboard]
preview = "off"
[[watch]]
path = "in"
output = "out"
"""
# Seconds until a picture is taken, and keys pressed before that.
SCENES = [(8, ""), (4, ""), (4, "Down Down"), (2, "Space"), (3, "K"), (4, "4"), (5, "3"), (5, "1"), (4, "?"), (2, "Escape")]
PALETTE = ["#1c1c1c", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d0d0d0",
           "#7f848e", "#ff7b85", "#b5e890", "#ffd68a", "#82c4ff", "#e08cff", "#7fd8e4", "#ffffff"]
# 0.602 em, as wide as most fixed-width fonts are.
CELL, LINE = 8.428, 18


def color_256(number):
    if number < 16:
        return PALETTE[number]
    if number >= 232:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    number -= 16
    return "#" + "".join(f"{(0 if part == 0 else 55 + 40 * part):02x}" for part in (number // 36, number // 6 % 6, number % 6))


class Style:
    def __init__(self):
        self.fg, self.bg, self.bold, self.dim, self.reverse = None, None, False, False, False

    def take(self, codes):
        codes = [int(code or 0) for code in codes.split(";")]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code in (1, 2, 7):
                setattr(self, {1: "bold", 2: "dim", 7: "reverse"}[code], True)
            elif code == 22:
                self.bold = self.dim = False
            elif code == 27:
                self.reverse = False
            elif code in (38, 48):
                kind = codes.pop(0)
                color = color_256(codes.pop(0)) if kind == 5 else "#" + "".join(f"{codes.pop(0):02x}" for _ in range(3))
                setattr(self, "fg" if code == 38 else "bg", color)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.fg = PALETTE[code - 30 if code < 90 else code - 82]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.bg = PALETTE[code - 40 if code < 100 else code - 92]
            elif code == 39:
                self.fg = None
            elif code == 49:
                self.bg = None

    def colors(self):
        fg, bg = self.fg or PALETTE[7], self.bg
        if self.reverse:
            fg, bg = bg or PALETTE[0], fg
        return fg, bg


def width_of(letter):
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def runs(line):
    """Stretches of one style: first cell, text, cells, style."""
    style, at = Style(), 0
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        code = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
        if code:
            style.take(code.group(1))
        elif part:
            cells = sum(map(width_of, part))
            yield at, part, cells, style
            at += cells


def picture(screen):
    lines = []
    for row, line in enumerate(screen.splitlines()):
        for at, text, cells, style in runs(line):
            fg, bg = style.colors()
            x, y = at * CELL, row * LINE
            if bg:
                lines.append(f'<rect x="{x:.1f}" y="{y}" width="{cells * CELL:.1f}" height="{LINE}" fill="{bg}"/>')
            look = (' font-weight="bold"' if style.bold else "") + (' opacity="0.6"' if style.dim else "")
            # In short pieces without spaces, each in its place: viewers differ in fonts and in what they make of spaces.
            for piece in re.finditer(r"\S{1,16}", text):
                left = x + sum(map(width_of, text[: piece.start()])) * CELL
                length = sum(map(width_of, piece.group())) * CELL
                lines.append(f'<text x="{left:.1f}" y="{y + 13.5}" fill="{fg}" textLength="{length:.1f}"{look}>'
                             f"{html.escape(piece.group())}</text>")
    return "\n".join(lines)


def animated(screens, columns, rows):
    width, height = columns * CELL, rows * LINE
    total = sum(seconds for seconds, _ in screens)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {width + 16:.0f} {height + 16}" '
             f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">',
             f'<rect x="-8" y="-8" width="100%" height="100%" rx="6" fill="{PALETTE[0]}"/>', "<style>"]
    begun = 0.0
    for number, (seconds, _) in enumerate(screens):
        low, high = 100 * begun / total, 100 * (begun + seconds) / total
        parts.append(f"@keyframes k{number} {{ 0%, {max(low - 0.01, 0):.2f}% {{ visibility: {'visible' if number == 0 else 'hidden'} }} "
                     f"{low:.2f}%, {high - 0.01:.2f}% {{ visibility: visible }} {high:.2f}%, 100% {{ visibility: hidden }} }}")
        parts.append(f"#f{number} {{ animation: k{number} {total}s infinite step-end }}")
        begun += seconds
    # Where nothing moves, the first picture stays.
    parts.append("@media (prefers-reduced-motion: reduce) { g { animation: none !important } }")
    parts.append("</style>")
    for number, (_, screen) in enumerate(screens):
        hidden = "" if number == 0 else ' visibility="hidden"'
        parts.append(f'<g id="f{number}"{hidden}>\n{picture(screen)}\n</g>')
    return "\n".join(parts) + "\n</svg>\n"


def tmux(*arguments):
    return subprocess.run(["tmux", "-L", "meshreel", *arguments], check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--rows", type=int, default=38)
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="meshreel-"))
    (folder / "in").mkdir()
    (folder / "config.toml").write_text(CONFIG.replace("MODELS", str(ROOT / "models")))
    for name, start, length in [("box jump.mp4", 0, 9), ("serve left.mp4", 1, 3), ("serve right.mp4", 2, 3),
                                ("warm-up.mp4", 3, 3), ("sprint start.mp4", 4, 4), ("cool-down.mp4", 5, 2)]:
        subprocess.run(["ffmpeg", "-v", "error", "-ss", str(start), "-i", SAMPLE, "-t", str(length), "-c:v", "libx264",
                        "-preset", "ultrafast", "-an", folder / "in" / name], check=True)
    (folder / "in/phone.mp4").write_text("not a video")
    screens = []
    try:
        tmux("new-session", "-d", "-x", str(arguments.columns), "-y", str(arguments.rows), "-c", str(folder),
             f"LANG=C.UTF-8 HOME={folder} {PROGRAM} run --config config.toml")
        tmux("set-option", "-g", "status", "off")
        for seconds, keys in SCENES:
            if keys:
                tmux("send-keys", *keys.split())
            time.sleep(seconds)
            # What is shown stays a while, however long it took to come.
            screens.append((2.5, tmux("capture-pane", "-e", "-p").replace(str(folder), "/videos")))
    finally:
        subprocess.run([PROGRAM, "stop", "--config", "config.toml"], cwd=folder, env={"HOME": str(folder)}, capture_output=True)
        subprocess.run(["tmux", "-L", "meshreel", "kill-server"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    arguments.output.write_text(animated(screens, arguments.columns, arguments.rows))


if __name__ == "__main__":
    main()
