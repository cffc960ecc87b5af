"""`glyphs`: an Omniglot-like dataset from the fonts that matplotlib ships.

A class is a character; its samples are the DejaVu faces that have it (sans,
serif, mono; regular, bold, oblique) under seeded affine changes; a group is a
script. Splits are by script, so a test script is never seen in training, and
a character that looks like one of another script (Latin A, Greek Α, Cyrillic
А) is kept out of the evaluation splits. Families of signs that are no letters
(Braille, box drawing, dominoes, hexagrams) are the far domains.

Each (character, face) is drawn once on a large canvas; all samples are warped
from these in batches, so that building everything takes seconds.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font, LoadFlags
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from .images import LabelledImages

SPLITS: Mapping[str, tuple[str, ...]] = {
    "train": ("latin", "canadian", "arabic", "lisu", "old italic", "coptic"),
    "validation": ("greek", "hebrew"),
    "test": ("cyrillic", "armenian", "georgian", "lao"),
    "far": ("braille", "box drawings", "domino", "hexagram"),
}
"""Which scripts and families make each split."""

VERSION = 1
"""Raised whenever the pixels change."""


@dataclass(frozen=True)
class Recipe:
    """How samples are drawn.

    Args:
        size: Side of an image in pixels.
        samples: Images of each class.
        min_faces: A character needs this many faces.
        rotation: Largest turn, degrees.
        shear: Largest shear, both axes.
        scale: Smallest and largest zoom of each axis.
        shift: Largest shift, as a share of the side.
        noise: Standard deviation of pixel noise, as a share of full ink.
        alike: Two characters of different scripts look the same when the
            correlation of their images exceeds this.
        same: The same within a script, where fine differences are the task.
        seed: The only source of randomness.
    """

    size: int = 28
    samples: int = 20
    min_faces: int = 4
    rotation: float = 25.0
    shear: float = 0.25
    scale: tuple[float, float] = (0.75, 1.15)
    shift: float = 0.08
    noise: float = 0.10
    alike: float = 0.93
    same: float = 0.985
    seed: int = 20220318


CANVAS = 64
EM = 44  # of the canvas: a capital fills half of its height


def faces() -> tuple[Path, ...]:
    """The twelve DejaVu text faces, in a fixed order (the regular sans first)."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = [p for p in folder.glob("DejaVu*.ttf") if "Display" not in p.name]
    return tuple(sorted(found, key=lambda p: (len(p.stem), p.stem)))


def script(character: str) -> str | None:
    """Script or family of a character, or None when it belongs to no split.

    >>> script("Я"), script("⠿"), script("3")
    ('cyrillic', 'braille', None)
    """
    name = unicodedata.name(character, "").lower()
    for groups in SPLITS.values():
        for group in groups:
            if name.startswith(group + " "):
                letter = unicodedata.category(character).startswith("L")
                return group if letter or group in SPLITS["far"] else None
    return None


def draw(font: FT2Font, code: int) -> NDArray[np.uint8] | None:
    """One character, centred on a canvas `(64, 64)` of uint8; None when it leaves no ink."""
    font.clear()
    font.set_size(EM, 72)
    font.set_text(chr(code), 0.0, flags=LoadFlags.NO_HINTING)
    font.draw_glyphs_to_bitmap(antialiased=True)
    ink = np.asarray(font.get_image(), dtype=np.uint8)
    if ink.size == 0 or ink.max() == 0:
        return None
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    step = -(-max(ink.shape) // (CANVAS - 4))  # a glyph wider than the canvas is thinned to fit
    ink = ink[::step, ::step]
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    top, left = (CANVAS - ink.shape[0]) // 2, (CANVAS - ink.shape[1]) // 2
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return canvas


def draw_all(recipe: Recipe) -> tuple[dict[str, str], dict[str, NDArray[np.uint8]]]:
    """Every character with enough faces: its group, and its canvases `(F, 64, 64)`."""
    drawn: dict[str, list[NDArray[np.uint8]]] = {}
    for path in faces():
        font = FT2Font(path)
        for code in font.get_charmap():
            if script(chr(code)) and (canvas := draw(font, code)) is not None:
                drawn.setdefault(chr(code), []).append(canvas)
    kept = sorted(c for c, d in drawn.items() if len(d) >= recipe.min_faces)
    groups = {c: g for c in kept if (g := script(c)) is not None}
    return groups, {c: np.stack(drawn[c]) for c in groups}


def look_alikes(
    canvases: Mapping[str, NDArray[np.uint8]], groups: Mapping[str, str], recipe: Recipe
) -> set[str]:
    """Characters of evaluation splits that look like one of another script, or an earlier one
    of their own.

    Images of the first face, blurred, are compared by correlation.
    """
    names = list(canvases)
    flat = np.stack([gaussian_filter(canvases[c][0].astype(np.float32), 1.5) for c in names])
    flat = flat.reshape(len(names), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    alike = flat @ flat.T
    group = np.array([groups[c] for c in names])
    abroad = group[:, None] != group[None, :]
    earlier = np.tri(len(names), k=-1, dtype=bool) & ~abroad  # of two in one script the first stays
    confused = ((alike > recipe.alike) & abroad | (alike > recipe.same) & earlier).any(axis=1)
    evaluated = {g for split, gs in SPLITS.items() if split != "train" for g in gs}
    return {c for c, bad in zip(names, confused, strict=True) if bad and groups[c] in evaluated}


def warp(
    canvases: NDArray[np.float32],
    matrices: NDArray[np.float64],
    shifts: NDArray[np.float64],
    size: int,
) -> NDArray[np.float32]:
    """Sample canvases `(N, H, H)` at an affine grid, bilinearly, to `(N, size, size)`.

    Args:
        canvases: Source images in [0, 1].
        matrices: ``(N, 2, 2)``, from output to source coordinates, both in [-1, 1].
        shifts: ``(N, 2)``, in the same coordinates.
        size: Side of the output.
    """
    n, side, _ = canvases.shape
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    where = grid @ np.swapaxes(matrices, 1, 2) + shifts[:, None, :]
    where = np.clip((where + 1) / 2 * side - 0.5, 0, side - 1.001)
    low = where.astype(np.int64)
    part = (where - low).astype(np.float32)
    flat = canvases.reshape(n, -1)
    corner = low[..., 0] * side + low[..., 1]

    def at(offset: int) -> NDArray[np.float32]:
        return np.take_along_axis(flat, corner + offset, axis=1)

    y, x = part[..., 0], part[..., 1]
    top = at(0) * (1 - x) + at(1) * x
    bottom = at(side) * (1 - x) + at(side + 1) * x
    out: NDArray[np.float32] = top * (1 - y) + bottom * y
    return out.reshape(n, size, size)


def sample(
    canvases: NDArray[np.uint8], recipe: Recipe, seed: np.random.SeedSequence
) -> NDArray[np.uint8]:
    """Samples of one class `(S, size, size)`: its faces in turn, each under its own warp."""
    rng = np.random.default_rng(seed)
    n = recipe.samples
    face = rng.permutation(np.arange(n) % len(canvases))
    turn = np.deg2rad(rng.uniform(-recipe.rotation, recipe.rotation, n))
    zoom = 1 / rng.uniform(*recipe.scale, (n, 2))
    lean = rng.uniform(-recipe.shear, recipe.shear, (n, 2))
    cos, sin, one = np.cos(turn), np.sin(turn), np.ones(n)
    rotate = np.stack([cos, -sin, sin, cos], axis=-1).reshape(n, 2, 2)
    shear = np.stack([one, lean[:, 0], lean[:, 1], one], axis=-1).reshape(n, 2, 2)
    matrices = rotate @ shear * zoom[:, :, None]
    shifts = rng.uniform(-2 * recipe.shift, 2 * recipe.shift, (n, 2))
    ink = canvases.astype(np.float32) / 255
    blurred: NDArray[np.float32] = gaussian_filter(ink, (0, 0.9, 0.9)).astype(np.float32)
    images = warp(blurred[face], matrices, shifts, recipe.size)
    images += recipe.noise * rng.standard_normal(images.shape).astype(np.float32)
    return (np.clip(images, 0, 1) * 255 + 0.5).astype(np.uint8)


def build(recipe: Recipe) -> dict[str, LabelledImages]:
    """Every split of the dataset."""
    groups, canvases = draw_all(recipe)
    dropped = look_alikes(canvases, groups, recipe)
    out = {}
    for split, scripts in SPLITS.items():
        chosen = [c for s in scripts for c in groups if groups[c] == s and c not in dropped]
        images = np.stack(
            [
                sample(canvases[c], recipe, np.random.SeedSequence([recipe.seed, ord(c)]))
                for c in chosen
            ]
        )
        names = [f"{groups[c]}/U+{ord(c):04X}" for c in chosen]
        out[split] = LabelledImages(
            name="glyphs",
            split=split,
            images=images.reshape(-1, 1, recipe.size, recipe.size),
            labels=np.repeat(np.arange(len(chosen)), recipe.samples),
            ids=np.array([f"{name}/{i:02d}" for name in names for i in range(recipe.samples)]),
            classes=tuple(names),
            groups=tuple(groups[c] for c in chosen),
        )
    return out


def fonts_hash() -> str:
    """SHA-256 over the font files: other fonts, other glyphs."""
    digest = hashlib.sha256()
    for path in faces():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
