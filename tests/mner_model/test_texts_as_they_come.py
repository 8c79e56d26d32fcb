"""What feeds do to texts, and what the model that ships makes of it: names are found whole, where they stand."""

import pytest

from mner_model.predictor import Predictor


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor.load(device="cpu")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        # escaped
        ("Adele&#x27;s concert in London", ["Adele", "London"]),
        ("Berlin&rsquo;s nights, Beyonc&eacute; sings", ["Berlin", "Beyonc&eacute;"]),
        ("Barack&nbsp;Obama in New&#160;York", ["Barack&nbsp;Obama", "New&#160;York"]),
        ("Justin Bieber &amp;lt;3 Toronto", ["Justin Bieber", "Toronto"]),
        # with signs that nobody sees
        ("Flying to Lon\u00addon with Rih\u2060anna", ["Lon\u00addon", "Rih\u2060anna"]),
        ("Barack\u200bObama meets Angela\u200bMerkel", ["Barack\u200bObama", "Angela\u200bMerkel"]),
        ("\u200fJustin Bieber\u200f in \ufeffToronto", ["Justin Bieber", "Toronto"]),
        # in letters that only look so
        ("Ｔａｙｌｏｒ Ｓｗｉｆｔ in Ｌｏｎｄｏｎ", ["Ｔａｙｌｏｒ Ｓｗｉｆｔ", "Ｌｏｎｄｏｎ"]),
        ("𝐁𝐚𝐫𝐚𝐜𝐤 𝐎𝐛𝐚𝐦𝐚 visits 𝘾𝙝𝙞𝙘𝙖𝙜𝙤", ["𝐁𝐚𝐫𝐚𝐜𝐤 𝐎𝐛𝐚𝐦𝐚", "𝘾𝙝𝙞𝙘𝙖𝙜𝙤"]),
        # beside addresses
        ("Obama in Chicagohttps://t.co/Berlin", ["Obama", "Chicago"]),
        ("HTTP://EXAMPLE.ORG/LONDON Rihanna", ["Rihanna"]),
        ("example.org/London/Paris Rihanna", ["Rihanna"]),
        ("Write to paris.hilton@example.org about Berlin", ["Berlin"]),
        ("hello @someone@berlin.social from Paris", ["Paris"]),
        # line by line
        ("Cities I love:\nLondon\nParis\nNew York", ["London", "Paris", "New York"]),
        ("London\r\nParis\n\nBerlin", ["London", "Paris", "Berlin"]),
        ("<p>London<br/>Paris</p><p>Berlin</p>", ["London", "Paris", "Berlin"]),
        (
            '<p>Barack Obama in <a href="https://example.org/Berlin"><span class="invisible">https://</span>'
            '<span class="ellipsis">example.org/Ber</span><span class="invisible">lin</span></a></p>',
            ["Barack Obama"],
        ),
    ],
)
def test_names_are_found_whole_and_where_they_stand(predictor: Predictor, text: str, names: list[str]) -> None:
    [prediction] = predictor.predict([text])
    assert [entity.text for entity in prediction.entities] == names
    assert all(text[entity.start : entity.end] == entity.text for entity in prediction.entities)
