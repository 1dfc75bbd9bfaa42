"""JSON of FHIR: decimals as sent, spans byte for byte, and everything wrong as a value."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.codecs.fhir_json import MOST_BYTES, MOST_NESTING, Fault, decode, read_tree, spans, walk

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("text", ["1.10", "0.0", "12", "-0.50", "100.000", "1.8E2", "0.000000001"])
def test_a_number_keeps_every_decimal(text):
    tree = read_tree(f'{{"value": {text}}}')
    assert isinstance(tree, dict)
    assert str(tree["value"]) == str(Decimal(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1,', "line 1, column 9: the text is not JSON"),
        ('{\n "a": tru\n}', "line 2, column 7: the text is not JSON"),
        ('{"a": 1, "a": 2}', "the document: an object gives one name twice"),
        ('{"a": {"b": 1, "b": 1}}', "the document: an object gives one name twice"),
        ('{"a": NaN}', "the document: NaN is no number of JSON"),
        ('{"a": -Infinity}', "the document: -Infinity is no number of JSON"),
        ('{"a": 1e99999999999999999999}', "the document: a number's exponent is beyond reading"),
        (f'{{"a": {"9" * 5000}}}', "the document: a number has too many digits"),
        ('{"a": "\\ud83d"}', "the document: an escape names half a character"),
        ('{"\\udc00": 1}', "the document: an escape names half a character"),
        ("[1]", "the document: it is not a JSON object"),
        ("", "line 1, column 1: the text is not JSON"),
    ],
)
def test_what_cannot_be_read_is_a_fault_with_its_place(text, words):
    found = read_tree(text)
    assert isinstance(found, Fault)
    assert found.text == words


def test_a_whole_pair_of_surrogates_is_a_character():
    assert read_tree('{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_nesting_ends_at_the_limit():
    deep = '{"a":' * MOST_NESTING + "1" + "}" * MOST_NESTING
    assert isinstance(read_tree(deep), Fault)
    just = '{"a":' * (MOST_NESTING - 1) + "1" + "}" * (MOST_NESTING - 1)
    assert isinstance(read_tree(just), dict)
    for text in ("[" * 200_000, '{"a":' * 200_000):
        assert isinstance(walk(text), Fault)
        assert isinstance(read_tree(text), Fault)


def test_bytes_are_utf_8_within_the_limit():
    assert decode(b"\xef\xbb\xbf{}") == "{}"
    assert decode(b'{"a": "\xff"}') == Fault("byte 8", "the bytes are not UTF-8")
    assert isinstance(decode(b" " * (MOST_BYTES + 1)), Fault)


@given(JSON.filter(lambda found: isinstance(found, dict)), st.sampled_from([None, 1]))
def test_spans_cut_every_member_as_it_was_sent(tree, indent):
    text = json.dumps(tree, indent=indent, ensure_ascii=False)
    found = list(spans(text))
    assert [name for name, _, _ in found] == list(tree)
    assert [json.loads(text[start:end]) for _, start, end in found] == list(tree.values())


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 2]))
def test_spans_cut_every_element_of_an_array(array, indent):
    text = json.dumps(array, indent=indent)
    assert [json.loads(text[start:end]) for _, start, end in spans(text)] == array


@given(st.text(max_size=60))
def test_no_text_raises(text):
    for found in (walk(text), read_tree(text)):
        assert found is None or isinstance(found, Fault | dict | list | str | bool)
