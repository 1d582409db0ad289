"""Untrusted texts have no effect in Markdown."""

import pytest

from monai_tunevlseg.markdown import escape_markdown


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("breast tumor, 2.5 %", "breast tumor, 2.5 %"),
        ("a|b", r"a\|b"),
        ("two\n\nlines", "two lines"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("![x](http://a/b.png)", r"!\[x\](http://a/b.png)"),
        (r"*bold* `code` ~~gone~~ $x$ \|", r"\*bold\* \`code\` \~\~gone\~\~ \$x\$ \\\|"),
    ],
)
def test_texts_are_shown_literally(text, escaped):
    assert escape_markdown(text) == escaped
