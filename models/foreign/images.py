"""The images a network takes: their shape, and the mean and spread taken off first.

Each comes from the caller, else from the checkpoint's own config, else from a default that is
added to ``assumed``, sentence by sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from ...data.errors import CheckpointError
from .ask import Ask
from .found import IMAGENET

MOST_CHANNELS = 64
"""The most means or spreads that are read."""

BILINEAR = Image.Resampling.BILINEAR
"""The filter that images are resized by here (`fit_images`)."""

LONGEST = 1024
"""The longest side of an image that a config may ask for; a caller may ask for any."""


def timm_images(
    words: Mapping[str, Any], channels: int, ask: Ask, assumed: list[str]
) -> tuple[tuple[int, int, int], dict[str, list[float]]]:
    """Shape `(C, H, W)` and statistics by timm's ``pretrained_cfg``."""
    size = words.get("input_size")
    if ask.image:
        sides = ask.image
    elif isinstance(size, list | tuple) and len(size) == 3:
        sides = _bounded(int(size[1]), int(size[2]), "timm")
    else:
        sides = 224, 224
        assumed.append("images are 224 x 224; nothing says otherwise")
    processor = {"image_mean": words.get("mean"), "image_std": words.get("std")}
    said = processor if words.get("mean") else None
    return (channels, sides[0], sides[1]), statistics(said, ask, channels, assumed)


def image_shape(config: Any, processor: Any, ask: Ask, assumed: list[str]) -> tuple[int, int, int]:
    """`(C, H, W)` by a transformers config, its processor's file where the config is silent."""
    channels = int(getattr(config, "num_channels", 3))
    if ask.image:
        return (channels, *ask.image)
    said = _sides(getattr(config, "image_size", None))
    processed = None
    if isinstance(processor, dict):
        crops = processor.get("do_center_crop") and processor.get("crop_size")
        processed = _sides(crops or processor.get("size"))
        if processor.get("do_resize", True) and processor.get("resample", BILINEAR) != BILINEAR:
            assumed.append(
                "where images are resized that is bilinear; the processor's filter is another "
                f"(resample {processor['resample']!r})"
            )
    sides = said or processed
    if sides is not None:
        if processed is not None and processed != sides:
            assumed.append(
                f"images are {sides[0]} x {sides[1]} as config.json says; the processor's are "
                f"{processed[0]} x {processed[1]}, for which say image={processed[0]}x{processed[1]}"
            )
        return channels, *_bounded(*sides, "transformers")
    assumed.append("images are 224 x 224; neither config.json nor a processor says otherwise")
    return channels, 224, 224


def _sides(size: Any) -> tuple[int, int] | None:
    """Height and width, where these words are a size."""
    if isinstance(size, dict):
        edge = size.get("shortest_edge")
        size = (size.get("height", edge), size.get("width", edge))
    sides = size if isinstance(size, list | tuple) else (size, size)
    whole = [s for s in sides if isinstance(s, int) and s >= 1]
    return (whole[0], whole[1]) if len(whole) == len(sides) == 2 else None


def _bounded(height: int, width: int, library: str) -> tuple[int, int]:
    if not 1 <= min(height, width) <= max(height, width) <= LONGEST:
        raise CheckpointError(
            f"the config says that images are {height} x {width}; from 1 to {LONGEST} a side is "
            f"taken from a file; say the size yourself with image=N in --arch {library}…",
            code="image-shape",
        )
    return height, width


def statistics(
    processor: Any, ask: Ask, channels: int, assumed: list[str], *, colour: bool = False
) -> dict[str, list[float]]:
    """Mean and spread to take off the images first, `C` values each; empty for none.

    Args:
        processor: What the checkpoint's own preprocessing says, as transformers names it; its
            means are of pixels times ``rescale_factor`` (of 0…255 without ``do_rescale``), those
            returned of images in [0, 1].
        ask: What the caller says, which comes first.
        channels: Channels `C` of an image.
        assumed: Gains a sentence where neither says.
        colour: Whether ImageNet's are then assumed.

    Raises:
        CheckpointError: If the caller asks for what is unknown, or needs 3 channels; or the
            processor's words are odd, or ask for what is not done here (``preprocessing``).
    """
    imagenet = {k: list(v) for k, v in IMAGENET.items()}
    said = ask.settings.get("normalise")
    if said == "imagenet" and channels == 3:
        return imagenet
    if said == "none":
        return {}
    if said is not None:
        raise CheckpointError(
            f"normalise={said!r} with {channels} channels is unknown; say normalise=imagenet (3 "
            "channels) or normalise=none",
            code="arch",
        )
    if processor is not None:
        _refuse_what_is_not_done(processor)
        scale, normal = _scale(processor), processor.get("do_normalize", True)
        mean, std = processor.get("image_mean"), processor.get("image_std")
        if normal and mean is not None and std is not None:
            off, by = _values("image_mean", mean), _values("image_std", std)
            if len(off) != channels or len(by) != channels:
                assumed.append(
                    f"the processor's mean and spread are for {len(off)} channels and images have "
                    f"{channels}; their averages are used"
                )
                off, by = ([sum(v) / len(v)] * channels for v in (off, by))
            return {"mean": [m / scale for m in off], "std": [s / scale for s in by]}
        if scale != 1:
            return {"mean": [0.0] * channels, "std": [1 / scale] * channels}
        if not normal:
            assumed.append("images enter in [0, 1]; the processor takes no mean or spread off")
            return {}
    if colour:
        assumed.append("ImageNet's mean and spread are taken off the images; the file says none")
        return imagenet
    assumed.append("images enter in [0, 1]; the checkpoint names no mean or spread")
    return {}


def _refuse_what_is_not_done(processor: Any) -> None:
    """Steps of a processor that would change what the network sees, and are not taken here."""
    if not isinstance(processor, dict):
        raise _odd(f"holds {type(processor).__name__}, not words and values")
    for word in ("do_flip_channel_order", "rescale_offset"):
        if processor.get(word):
            raise _odd(f"asks for {word}, which is not done here")


def _scale(processor: Mapping[str, Any]) -> float:
    """What the images the network saw were, of images in [0, 1]: 1, or up to 255."""
    if not processor.get("do_rescale", True):
        return 255.0
    (factor,) = _values("rescale_factor", [processor.get("rescale_factor", 1 / 255)])
    if not factor > 0:
        raise _odd(f"has a rescale_factor of {factor:g}; it must be above 0")
    return 255 * factor if abs(255 * factor - 1) > 1e-6 else 1.0


def _values(word: str, values: Any) -> list[float]:
    listed = values if isinstance(values, list | tuple) else [values]
    numbers = [float(v) for v in listed if isinstance(v, int | float) and not isinstance(v, bool)]
    if not numbers or len(numbers) != len(listed) or len(numbers) > MOST_CHANNELS:
        raise _odd(f"has {str(values)[:40]!r} for {word}; a number a channel is taken")
    return numbers


def _odd(what: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint's preprocessing {what}; say normalise=imagenet or normalise=none in --arch "
        "LIBRARY:…, or mend its config",
        code="preprocessing",
    )
