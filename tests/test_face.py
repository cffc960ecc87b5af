"""The public names: a list, and it stays one."""

import subprocess
import sys

import pytest

import metaprobe


def test_the_face_has_at_most_twenty_sorted_names() -> None:
    assert len(metaprobe.__all__) <= 20
    assert list(metaprobe.__all__) == sorted(metaprobe.__all__)


@pytest.mark.parametrize("name", metaprobe.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    thing = getattr(metaprobe, name)
    assert thing.__doc__
    assert name in dir(metaprobe)


def test_the_promised_names_are_there() -> None:
    promised = {
        "open_dataset", "draw_episodes", "load_encoder", "adapt", "extract", "nearest_neighbours",
        "audit", "train", "Audit", "Rule", "EpisodeList", "Embeddings", "Store",
    }  # fmt: skip
    assert promised <= set(metaprobe.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        metaprobe.nonsense  # noqa: B018


def test_importing_the_package_or_asking_for_help_imports_no_heavy_library() -> None:
    code = (
        "import sys, metaprobe, metaprobe.cli; "
        "print(sorted({'torch', 'numpy', 'scipy', 'faiss', 'h5py', 'pandas', 'seaborn'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
