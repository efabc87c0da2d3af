"""Tables of a batch."""

from pathlib import Path

import pytest

from impasto.errors import SettingError
from impasto.jobs import tables


def read(folder, text, encoding="utf-8"):
    path = folder / "pairs.csv"
    path.write_text(text, encoding=encoding)
    return tables.read_table(path)


def test_rows_have_images_settings_and_lines(tmp_path):
    text = (
        "content,style,strength,style-scale,result\n"
        "a.jpg,b.jpg,0.3,,\n"
        "\n"
        ',,,,\n"with, comma.jpg",b.jpg; c.jpg ,,2,sub/name\n'
    )
    first, second = read(tmp_path, text)
    assert first == (tmp_path / "a.jpg", (str(tmp_path / "b.jpg"),), "", (("strength", "0.3"),), 2)
    assert second.content == tmp_path / "with, comma.jpg"
    assert second.styles == (str(tmp_path / "b.jpg"), str(tmp_path / "c.jpg"))
    assert second.result == "sub/name"
    assert second.settings == (("style_scale", "2"),)


def test_spreadsheets_may_write_a_byte_order_mark_and_old_names_are_known(tmp_path):
    (row,) = read(tmp_path, "content,style,objective\n/a.jpg,b.jpg,gram\n", "utf-8-sig")
    assert row.content == Path("/a.jpg")
    assert row.settings == (("style_loss", "gram"),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'content'"),
        ("content,strength\na,1\n", "no column 'style'"),
        ("content,style\n", "has no rows"),
        ("content,style,strenght\na,b,1\n", "strength"),
        ("content,style\na,\n", "line 2 needs a content and a style image"),
        ("content,style\na,b,c\n", "line 2 has more cells"),
        ('content,style\n"a,b\n', "not a CSV table"),
    ],
)
def test_a_wrong_table_is_an_error_of_one_line_that_names_it(tmp_path, text, words, one_line):
    with pytest.raises(SettingError) as caught:
        read(tmp_path, text)
    assert "pairs.csv" in one_line(caught)
    assert words in one_line(caught)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path, one_line):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(SettingError, match="cannot be read"):
            tables.read_table(path)
    (tmp_path / "b.csv").write_bytes(b"content,style\n\xff,b\n")
    with pytest.raises(SettingError, match="UTF-8"):
        tables.read_table(tmp_path / "b.csv")
