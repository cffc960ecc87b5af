"""Every image file is looked at: what is wrong is counted, named and refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metaprobe.data.datasets import open_dataset
from metaprobe.data.errors import DataError
from metaprobe.data.readers.options import ReadOptions
from metaprobe.data.readers.pictures import Listing, Picture, read_pictures

from .layouts import pixels, png, save


def listing(*pictures: Picture) -> Listing:
    return Listing("some", "all", "some", pictures)


def folder(root: Path, images: int = 10) -> Path:
    for i in range(images):
        save(root / "ab"[i % 2] / f"{i}.png", pixels(i))
    return root


def test_pixels_come_back_as_they_were(tmp_path: Path) -> None:
    found = open_dataset(folder(tmp_path), "all")
    assert found.shape == (3, 8, 8)
    for id_, image in zip(found.ids, found.images, strict=True):
        number = int(Path(id_).stem)
        assert np.array_equal(image, pixels(number).transpose(2, 0, 1))
    assert found.notes == ()


@pytest.mark.parametrize("asked", ["all", "test", "train"])
def test_a_folder_without_splits_is_all_of_it_whatever_is_asked(asked: str, tmp_path: Path) -> None:
    found = open_dataset(folder(tmp_path), asked)
    assert (found.split, len(found)) == ("all", 10)


def test_one_unreadable_image_is_refused_by_name_and_left_out_on_request(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "a" / "2.png").write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"1 of 10 .*'a/2.png' \(not an image\).*unreadable 0.1"):
        open_dataset(root, "all")
    found = open_dataset(root, "all", options=ReadOptions(max_unreadable=0.1))
    assert len(found) == 9
    assert found.notes == ("1 of 10 images left out: 'a/2.png' (not an image)",)
    assert "a/2.png" not in found.ids
    (root / "b" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match="2 of 10"):
        open_dataset(root, "all", options=ReadOptions(max_unreadable=0.1))


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif"])
def test_an_image_that_was_cut_off_is_unreadable(tmp_path: Path, suffix: str, kept: float) -> None:
    root = folder(tmp_path)
    path = save(root / "a" / f"cut.{suffix}", pixels(1, 40))
    options = ReadOptions(image_size=8)
    assert len(open_dataset(root, "all", options=options)) == 11
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(DataError, match=f"1 of 11 images unreadable .*cut.{suffix}"):
        open_dataset(root, "all", options=options)


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it is `side` pixels wide and high."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused(side: int) -> None:
    bad = Picture("bomb", "a", bomb(side))
    with pytest.raises(DataError, match=r"'bomb' \(.*pixels"):
        read_pictures(listing(Picture("good", "a", png(pixels(0))), bad), ReadOptions())


def test_memory_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    root = folder(tmp_path)
    options = ReadOptions(most_bytes=10 * 3 * 8 * 8 - 1)
    with pytest.raises(DataError, match=r"10 images x 3 x 8 x 8 .*--image-size"):
        open_dataset(root, "all", options=options)
    assert len(open_dataset(root, "all", options=ReadOptions(most_bytes=10 * 3 * 8 * 8))) == 10


def test_mixed_sizes_need_a_size_and_the_record_says_what_was_done(tmp_path: Path) -> None:
    root = folder(tmp_path)
    save(root / "a" / "wide.png", pixels(1, 8, 24))
    with pytest.raises(DataError, match=r"2 sizes \(10 of 8x8, 1 of 24x8\).*--image-size"):
        open_dataset(root, "all")
    found = open_dataset(root, "all", options=ReadOptions(image_size=8))
    assert found.prepared == "shorter side to 8, centre crop"
    middle = found.images[list(found.ids).index("a/wide.png")]
    assert np.array_equal(middle, pixels(1, 8, 24)[:, 8:16].transpose(2, 0, 1))


def test_the_shorter_side_is_resized_as_pillow_resizes(tmp_path: Path) -> None:
    path = save(tmp_path / "a" / "0.png", pixels(3, 20, 41))
    found = open_dataset(tmp_path, "all", options=ReadOptions(image_size=10))
    with Image.open(path) as image:
        whole = np.asarray(image.resize((20, 10), Image.Resampling.BILINEAR))
    assert np.array_equal(found.images[0], whole[:, 5:15].transpose(2, 0, 1))


def test_grey_stays_grey_only_when_all_is_grey(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", pixels(0, grey=True))
    assert open_dataset(tmp_path, "all").shape == (1, 8, 8)
    save(tmp_path / "a" / "1.png", pixels(1))
    found = open_dataset(tmp_path, "all")
    assert found.shape == (3, 8, 8)
    assert np.array_equal(found.images[0], np.stack([pixels(0, grey=True)] * 3))


def test_pixels_of_sixteen_bits_are_refused_not_clipped(tmp_path: Path) -> None:
    deep = np.full((8, 8), 40_000, np.uint16)
    (tmp_path / "a").mkdir()
    Image.fromarray(deep).save(tmp_path / "a" / "0.png")
    with pytest.raises(DataError, match="clip"):
        open_dataset(tmp_path, "all")


def test_an_image_listed_under_two_labels_is_mislabelled() -> None:
    raw = png(pixels(0))
    twice = listing(Picture("x", "a", raw), Picture("x", "b", raw), Picture("y", "a", raw))
    with pytest.raises(DataError, match="listed as 'a' and as 'b'"):
        read_pictures(twice, ReadOptions())


def test_images_listed_twice_count_once_in_the_share() -> None:
    raw = [png(pixels(i)) for i in range(4)]
    twice = [Picture("x", "a", raw[0])] * 300
    with pytest.raises(DataError, match=r"1 of 1 images .*'x' \(listed twice\); mend them$"):
        read_pictures(listing(*twice), ReadOptions(max_unreadable=0.5))
    others = [Picture(str(i), "a", one) for i, one in enumerate(raw)]
    with pytest.raises(DataError, match=r"1 of 5 images .*--max-unreadable 0\.2$"):
        read_pictures(listing(*twice, *others), ReadOptions(max_unreadable=0.1))
    found = read_pictures(listing(*twice, *others), ReadOptions(max_unreadable=0.2))
    assert (len(found), found.notes) == (4, ("1 of 5 images left out: 'x' (listed twice)",))


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    options = ReadOptions(progress=lambda *words: told.append(words))
    open_dataset(folder(tmp_path / "birds"), "all", options=options)
    assert told[0] == ("reading birds", 0, 20)
    assert told[-1] == ("reading birds", 20, 20)


@pytest.mark.parametrize(
    "wrong", [{"image_size": 0}, {"max_unreadable": 1.0}, {"max_unreadable": -0.1}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"is 0|is 1.0|is -0.1"):
        ReadOptions(**wrong)  # type: ignore[arg-type]
