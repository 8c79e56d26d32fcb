import html
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.text.reading import read

PARTS = "a|é|e\u0301|&eacute;|&amp;|&amp;rsquo;|&#39;|&#x27;|<p>|<br/>|</a>|<3| |\u200b|\u00ad|\u200d|👩\u200d👧|Ｗ|𝐁|ﬁ"
PIECES = st.sampled_from([*PARTS.split("|"), "한", "東", "می\u200cبره", "s\u0336"])


@pytest.mark.parametrize(
    ("received", "meant"),
    [
        ("Beyonc&eacute;&#x27;s &#8220;Halo&#8221;", "Beyoncé's “Halo”"),
        ("London&amp;rsquo;s &amp;amp;lt; it", "London’s < it"),
        ("New&nbsp;York &lt;3", "New\u00a0York <3"),
        ("AT&T R&D; &copy Q&A", "AT&T R&D; &copy Q&A"),
        ("Lon\u00addon Ger\u2060many\ufeff", "London Germany"),
        ("New\u200bYork", "New York"),
        ("Adele\u200d in", "Adele in"),
        ("👩\u200d👩\u200d👧 می\u200cبره", "👩\u200d👩\u200d👧 می\u200cبره"),
        ("Ｂａｒａｃｋ 𝐎𝐛𝐚𝐦𝐚 ᴘᴀʀɪs 🅱🅾 Ⓐ", "Barack Obama paris BO A"),
        ("Ibrahimovic\u0301 s\u0336t\u0336r", "Ibrahimović str"),
        ("ﾊﾞﾅﾅ", "バナナ"),
        ("ﷺ ½ ™ …", "ﷺ ½ ™ …"),
        (
            '<p>Read <a href="x"><span class="invisible">https://</span>x.org/a</a><br>b</p>',
            "\nRead https://x.org/a\nb\n",
        ),
        ("I <3 you > me <user>", "I <3 you > me <user>"),
    ],
)
def test_texts_are_read_as_what_they_mean(received: str, meant: str) -> None:
    assert read(received).text == meant


@pytest.mark.parametrize("name", ["&Aacute;", "&hellip;", "&zwnj;", "&NotEqualTilde;", "&Ouml;", "&euro;"])
def test_every_named_reference_is_known(name: str) -> None:
    assert read(name + "x").text in (html.unescape(name) + "x", "x")


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40))
def test_every_code_point_read_knows_its_place(text: str) -> None:
    reading = read(text)
    places = [reading.place(i, i + 1) for i in range(len(reading.text))]
    assert all(0 <= start < end <= len(text) for start, end in places)
    assert all(before == after or before[1] <= after[0] for before, after in pairwise(places))


@given(st.text(st.characters(codec="ascii", exclude_characters="&<"), max_size=40))
def test_a_plain_text_is_read_as_it_is(text: str) -> None:
    assert (read(text).text, read(text).starts) == (text, None)
