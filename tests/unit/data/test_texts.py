"""Captions as they come: encodings, marks, damage."""

import codecs

import pytest

from memgan.data.readers.records import captions_of, tidy


@pytest.mark.parametrize(
    ("data", "captions"),
    [
        (b"one\n\n   \ntwo\r\nthree", ("one", "two", "three")),
        ("\ufeffwith a mark".encode(), ("with a mark",)),
        ("una urraca pequeña".encode(), ("una urraca pequeña",)),
        ("una urraca pequeña".encode("cp1252"), ("una urraca pequeña",)),
        ("zwei Vögel".encode("utf-16"), ("zwei Vögel",)),
        ("zwei Vögel".encode("utf-16-le"), ("zwei Vögel",)),
        ("zwei Vögel".encode("utf-16-be"), ("zwei Vögel",)),
        ("zwei Vögel".encode("utf-32"), ("zwei Vögel",)),
        ("zwei Vögel".encode("utf-32-le"), ("zwei Vögel",)),
        ("zwei Vögel".encode("utf-32-be"), ("zwei Vögel",)),
        ("zwei Vögel".encode("utf-8-sig"), ("zwei Vögel",)),
        ("cafe\u0301 \tbird\x00".encode(), ("café bird",)),
        (b"", ()),
        (b"\n \n", ()),
        (b"!!!\n", ("!!!",)),
        (b"word " * 700, (" ".join(["word"] * 700),)),
    ],
)
def test_captions_in_any_encoding(data, captions):
    odd: list[str] = []
    assert captions_of(data, "a.txt", odd) == captions
    assert odd == (["a.txt"] if b"\xf1" in data else [])


@pytest.mark.parametrize(
    ("data", "captions"),
    [
        ("un été\n".encode() + "un été\n".encode("cp1252") + "東京\n".encode(), ("un été", "un été", "東京")),
        (b"\xef\xbb\xbf" + "un été\n".encode("cp1252") + "東京".encode(), ("un été", "東京")),
        (b"a \x81 bird", ("a \ufffd bird",)),  # a byte that Windows' Latin letters lack
        ("ein Vogel".encode("utf-16-le") + b"!", ("ein Vogel",)),
        ("ein Vogel".encode("utf-32") + b"!", ("ein Vogel",)),
        (codecs.BOM_UTF16_LE + b"a\x00" + b"\x00\xd8" + b"b\x00", ("a\ufffdb",)),  # half a pair
    ],
)
def test_text_that_is_damaged_is_read_as_far_as_it_can_be_and_said(data, captions):
    odd: list[str] = []
    assert captions_of(data, "a.txt", odd) == captions and odd == ["a.txt"]


@pytest.mark.parametrize("caption", ["half \ud83d a pair", "a byte \udcff"])
def test_captions_can_be_written_again(caption):
    """JSON may hold what UTF-8 cannot."""
    assert tidy(caption).encode()
    assert tidy(caption) in ("half \ufffd a pair", "a byte ÿ")
