"""Results and patients as the segments state them: codes, values, units, times, specimens, orders, merges."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapter.codecs.hl7v2 import Delimiters, split
from adapter.codecs.oru import PatientResults, read_merges, read_patient, read_results
from adapter.model import Coding, Patient, PatientIdentifier, Precision, Reported, ReportedValue

MSH = "MSH|^~\\&|LIS|NTC|EDC|TRIAL|20260105||ORU^R01|M1|P|2.5.1"
PID = "PID|1||0012345^^^NTCGH^MR||Lan^Anren||19700314|F"
USUAL = Delimiters()


def groups(
    *lines: str, event: str = "R01", sent: str = "20260203093000+0800", fields: Sequence[str] = ("PID-3",)
) -> Sequence[PatientResults]:
    return read_results("\r".join((MSH, *lines)), USUAL, event, sent, tuple(fields))


def results(*lines: str, event: str = "R01") -> list[Reported]:
    return [r for g in groups(PID, *lines, event=event) for r in g.results]


def obr(**fields: str) -> str:
    sent = [fields.get(f"f{n}", "") for n in range(1, 26)]
    return "|".join(["OBR", *sent])


def obx(**fields: str) -> str:
    sent = [fields.get(f"f{n}", "") for n in range(1, 15)]
    return "|".join(["OBX", *sent])


def spm(kind: str = "SER", taken: str = "") -> str:
    return f"SPM|1|||{kind}" + "|" * 13 + taken


def one(**fields: str) -> Reported:
    return results(obx(**fields))[0]


# --- whole --------------------------------------------------------------------------------------------------------


def test_a_result_with_everything_in_it() -> None:
    order = obr(
        f2="P7^HIS", f3="L7^LIS^1.2^ISO", f7="20260202", f15="BLD&Whole blood", f22="20260203090000+0800", f25="F"
    )
    observation = obx(
        f1="9", f2="NM", f3="1742-6^ALT^LN", f4="1", f5="35", f6="U/L^unit per liter^UCUM", f11="C", f14="202602021200"
    )
    result = results(order, observation, spm("119364003^Serum^SCT", "20260202081500+0800"))[0]
    assert result.locator == "OBX[1]"
    assert result.codings == (Coding("1742-6", "ALT", "LN"),)
    assert result.value == ReportedValue("35", "35")
    assert result.units == ("U/L", "unit per liter")
    assert (result.status, result.order_status, result.sub_id) == ("C", "F", "1")
    assert result.order_number == "filler:L7^LIS^1.2^ISO"
    assert result.specimens == (Coding("119364003", "Serum", "SCT"),)
    assert [(t.address, t.text) for t in result.times] == [
        ("SPM-17", "20260202081500+0800"),
        ("OBR-7", "20260202"),
        ("OBX-14", "202602021200"),
    ]
    assert [t.time.precision for t in result.times if t.time] == [Precision.SECOND, Precision.DAY, Precision.MINUTE]
    assert result.issued is not None
    assert result.message_at is not None
    assert (result.issued.text, result.message_at.text) == ("20260203090000+0800", "20260203093000+0800")


def test_a_result_with_nothing_in_it() -> None:
    assert results("OBX") == [Reported("OBX[1]", (), ReportedValue("", ""), message_at=results("OBX")[0].message_at)]


def test_results_before_any_patient_are_nobodys() -> None:
    read = groups(obx(f3="a"), PID, obx(f3="b"), PID.replace("0012345", "9"), PID.replace("0012345", "8"), obx(f3="c"))
    assert [g.patient.identifiers[0].value if g.patient else None for g in read] == [None, "0012345", "9", "8"]
    assert [[r.codings[0].code for r in g.results] for g in read] == [["a"], ["b"], [], ["c"]]
    assert [r.locator for g in read for r in g.results] == ["OBX[1]", "OBX[2]", "OBX[3]"]


def test_what_follows_a_second_header_is_nobodys_until_its_own_patient() -> None:
    read = groups(PID, obx(f3="a"), MSH, obx(f3="b"))
    assert [(g.patient is None, len(g.results)) for g in read] == [(False, 1), (True, 1)]


@pytest.mark.parametrize("event", ["R01", "R22", "R23", "R24", "R30", ""])
def test_a_result_is_never_lost_for_where_it_stands(event: str) -> None:
    lines = [
        PID,
        obx(f3="1"),
        "ORC|RE",
        obx(f3="2"),
        obr(),
        obx(f3="3"),
        spm(),
        obx(f3="4"),
        "ZZZ|1",
        obx(f3="5"),
        "NTE|1",
        spm(),
        spm(),
        obx(f3="6"),
    ]
    assert [r.codings[0].code for g in groups(*lines, event=event) for r in g.results] == list("123456")


# --- patients -----------------------------------------------------------------------------------------------------


def test_a_patient_is_read_from_the_fields_the_source_names() -> None:
    pid = 'PID|1|2^^^TWO|3^^^NTCGH&1.2.3&ISO~ 33 ~^^^NONE~""|4|||19700314083000|F^Female||||||||||18^^^AC'
    read = groups(pid, fields=("PID-3", "PID-2", "PID-4", "PID-18"))[0].patient
    assert read is not None
    assert [(i.value, i.authorities) for i in read.identifiers] == [
        ("3", ("NTCGH", "1.2.3")),
        ("33", ()),
        ("2", ("TWO",)),
        ("4", ()),
        ("18", ("AC",)),
    ]
    assert (read.birth_date, read.sex, read.unreadable) == ("19700314083000", "F", False)


@pytest.mark.parametrize("field", ["1\ufffd2^^^NTCGH", "12^^^NT\ufffd", "12^^^NTCGH&1.\ufffd"])
def test_an_identifier_that_does_not_decode_is_unreadable_and_not_another_one(field: str) -> None:
    read = groups(f"PID|1||{field}~77^^^NTCGH")[0].patient
    assert read == Patient((PatientIdentifier("77", ("NTCGH",)),), unreadable=True)


def test_a_patient_without_identifier_is_still_one() -> None:
    assert [g.patient for g in groups("PID|1", "PID")] == [Patient(), Patient()]


def test_merges_are_read_one_for_each_patient() -> None:
    text = "\r".join((MSH, PID, "MRG|1^^^A~2^^^B", "PID|2||5^^^A", "PD1|", "PID|3||6^^^A", "MRG|7", "MRG|8^^^A"))
    merges = read_merges(text, USUAL, ("PID-3",))
    assert [(m.surviving.identifiers[0].value, [i.value for i in m.prior.identifiers]) for m in merges] == [
        ("0012345", ["1", "2"]),
        ("5", []),
        ("6", ["7", "8"]),
    ]
    assert merges[0].prior.identifiers[1].authorities == ("B",)


def test_a_prior_identifier_that_does_not_decode_is_unreadable() -> None:
    merge = read_merges(f"{MSH}\r{PID}\rMRG|1\ufffd^^^A", USUAL, ("PID-3",))[0]
    assert merge.prior == Patient(unreadable=True)


def test_nothing_of_the_patient_is_shown() -> None:
    read = groups(PID)[0]
    assert not any(text in repr(read) for text in ("0012345", "Lan", "1970"))
    segment = split(f"{MSH}\r{PID}", USUAL)[1]
    assert "0012345" not in repr(read_patient(segment, ("PID-3",)))


# --- status, order, sub-id ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [("F", "F"), (" F ", "F"), ("F^Final^HL70085", "F"), ('""', ""), ("", ""), ("ResultStatus1", "ResultStatus1")],
)
def test_the_status_as_sent(sent: str, status: str) -> None:
    assert one(f11=sent).status == status


@pytest.mark.parametrize(
    ("filler", "placer", "number"),
    [
        ("L7", "P7", "filler:L7"),
        ("L7^LIS", "P7", "filler:L7^LIS"),
        ("L7^^1.2^ISO", "", "filler:L7^^1.2^ISO"),
        ("L7^^", "P7", "filler:L7"),
        ("", "P7^HIS", "placer:P7^HIS"),
        ('""', "P7", "placer:P7"),
        ("^LIS", "P7", "placer:P7"),
        ("", "", ""),
        ("^LIS", '""', ""),
    ],
)
def test_the_fillers_order_number_before_the_placers(filler: str, placer: str, number: str) -> None:
    assert results(obr(f2=placer, f3=filler), obx(f3="a"))[0].order_number == number


def test_an_order_number_is_of_its_order_alone() -> None:
    read = results(obr(f3="A"), obx(f3="1"), "ORC|RE||C", obx(f3="2"), obr(f3="B"), obx(f3="3"))
    assert [r.order_number for r in read] == ["filler:A", "", "filler:B"]


def test_in_oul_the_common_order_follows_its_request() -> None:
    read = results(spm(), obr(f3="A"), "ORC|RE||A", obx(f3="1"), obr(f3="B"), "ORC|RE||B", obx(f3="2"), event="R22")
    assert [r.order_number for r in read] == ["filler:A", "filler:B"]


@pytest.mark.parametrize(("sent", "sub_id"), [("1", "1"), (" 1.2 ", "1.2"), ("^4^1", "^4^1"), ('""', ""), ("", "")])
def test_the_sub_id_as_sent(sent: str, sub_id: str) -> None:
    assert one(f4=sent).sub_id == sub_id


# --- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "precision"),
    [
        ("20260203081500^D", Precision.DAY),
        ("20260203081500^H", Precision.HOUR),
        ("20260203081500^M", Precision.MINUTE),
        ("20260203081500^L", Precision.MONTH),
        ("20260203081500^Y", Precision.YEAR),
        ("20260203081500^S", Precision.SECOND),
        ("20260203^M", Precision.DAY),
        ("2026020308150012^D", None),
        ("20260203081500123", Precision.FRACTION),
        ("20260203081500.1^D", Precision.DAY),
    ],
)
def test_the_degree_of_precision_narrows_a_time_stamp(sent: str, precision: Precision | None) -> None:
    times = results(obr(f7=sent), obx(f14=sent))[0].times
    assert [t.time.precision if t.time else None for t in times] == [precision, precision]


def test_a_range_of_collection_begins_with_its_start() -> None:
    times = results(obr(), obx(), spm("SER", "202602030815^202602030820"))[0].times
    assert [(t.text, t.time.precision if t.time else None) for t in times] == [("202602030815", Precision.MINUTE)]


@pytest.mark.parametrize("sent", ["", '""', "0", "00000000", "00000000000000", "^D"])
def test_a_time_that_says_nothing_is_not_stated(sent: str) -> None:
    assert results(obr(f7=sent), obx(f14=sent), spm("SER", sent))[0].times == ()


@pytest.mark.parametrize("sent", ["unknown", "20260230", "03.02.2026"])
def test_a_time_that_cannot_be_read_is_stated_and_none(sent: str) -> None:
    assert [(t.text, t.time) for t in results(obr(f7=sent), obx())[0].times] == [(sent, None)]


def test_the_time_of_the_message_is_its_first_component() -> None:
    read = groups(PID, obx(), sent="20260203^M")[0].results[0]
    assert read.message_at is not None
    assert read.message_at.text == "20260203"
    assert groups(PID, obx(), sent="")[0].results[0].message_at is None


# --- specimens ----------------------------------------------------------------------------------------------------

BLOOD, URINE = spm("BLD", "20260201"), spm("UR", "20260202")


def specimens(*lines: str, event: str = "R01") -> list[tuple[str, list[str], list[str]]]:
    return [
        (r.codings[0].code, [s.code for s in r.specimens], [t.text for t in r.times if t.address == "SPM-17"])
        for r in results(*lines, event=event)
    ]


B, U = (["BLD"], ["20260201"]), (["UR"], ["20260202"])
NONE: tuple[list[str], list[str]] = ([], [])


def test_in_oru_a_specimen_is_of_the_order_before_it() -> None:
    assert specimens(obr(), obx(f3="a"), obx(f3="b"), BLOOD, obr(), obx(f3="c"), URINE, obr(), obx(f3="d")) == [
        ("a", *B),
        ("b", *B),
        ("c", *U),
        ("d", *NONE),
    ]


def test_results_after_a_specimen_are_of_it() -> None:
    assert specimens(obr(), BLOOD, obx(f3="a"), URINE, obx(f3="b")) == [("a", *B), ("b", *U)]


def test_results_around_a_specimen_are_of_it_too() -> None:
    assert specimens(obr(), obx(f3="a"), BLOOD, obx(f3="b")) == [("a", *B), ("b", *B)]


def test_several_specimens_of_one_order_all_count() -> None:
    both = (["BLD", "UR"], ["20260201", "20260202"])
    assert specimens(obr(), obx(f3="a"), BLOOD, URINE, obx(f3="b")) == [("a", *both), ("b", *both)]
    assert specimens(BLOOD, URINE, obr(), obx(f3="a"), event="R22") == [("a", *both)]


@pytest.mark.parametrize("event", ["R22", "R23"])
def test_in_oul_by_specimen_a_specimen_is_of_the_orders_after_it(event: str) -> None:
    lines = (BLOOD, "SAC|1", obr(), "ORC|RE", obx(f3="a"), obr(), obx(f3="b"), URINE, obx(f3="c"), obr(), obx(f3="d"))
    assert specimens(*lines, event=event) == [("a", *B), ("b", *B), ("c", *U), ("d", *U)]


def test_in_oul_by_order_a_specimen_is_of_its_order() -> None:
    lines = (obr(), "ORC|RE", BLOOD, obx(f3="a"), obr(), "ORC|RE", obx(f3="b"), URINE)
    assert specimens(*lines, event="R24") == [("a", *B), ("b", *U)]


@pytest.mark.parametrize("common_order", [(), ("ORC|RE",)])
def test_a_sender_that_puts_specimens_first_does_so_throughout(common_order: tuple[str, ...]) -> None:
    order = (*common_order, obr())
    lines = (BLOOD, *order, obx(f3="a"), obr(), obx(f3="b"), URINE, *order, obx(f3="c"))
    assert specimens(*lines) == [("a", *B), ("b", *B), ("c", *U)]


def test_specimens_of_one_patient_are_not_the_nexts() -> None:
    read = groups(PID, BLOOD, obr(), obx(f3="a"), PID, obr(), obx(f3="b"))
    assert [[s.code for r in g.results for s in r.specimens] for g in read] == [["BLD"], []]


@pytest.mark.parametrize(
    ("sent", "specimen"),
    [
        ("SER", [Coding("SER")]),
        ("SER&Serum&HL70070", [Coding("SER", "Serum")]),
        ("&Serum", [Coding("", "Serum")]),
        ("UR^additive^text", [Coding("UR")]),
        ('""', []),
        ("", []),
    ],
)
def test_without_a_specimen_segment_the_order_names_its_source(sent: str, specimen: list[Coding]) -> None:
    assert list(results(obr(f15=sent), obx())[0].specimens) == specimen


def test_a_specimen_segment_goes_before_the_orders_source_and_an_empty_one_does_not() -> None:
    assert results(obr(f15="UR"), obx(), BLOOD)[0].specimens == (Coding("BLD"),)
    assert results(obr(f15="UR"), obx(), spm("", "20260201"))[0].specimens == (Coding("UR"),)


# --- other delimiters ---------------------------------------------------------------------------------------------


def test_delimiters_do_not_matter() -> None:
    order = obr(f3="L7^LIS", f7="20260203", f15="SER&Serum")
    lines = (MSH, PID, order, obx(f2="SN", f3="A^B^L^1742-6^ALT^LN", f5="<^5", f6="10\\S\\9/L", f11="F"), URINE)
    swap = str.maketrans("|^~\\&", "*!%$@")
    other = Delimiters("*", "!", "%", "$", "@")
    usual = read_results("\r".join(lines), USUAL, "R01", "2026")
    swapped = read_results("\n".join(lines).translate(swap), other, "R01", "2026")
    assert swapped[0].patient == usual[0].patient
    assert swapped[0].results[0].codings == usual[0].results[0].codings
    assert swapped[0].results[0].value == usual[0].results[0].value
    assert swapped[0].results[0].units == ("10!9/L",)
    assert swapped[0].results[0].order_number == usual[0].results[0].order_number
    assert swapped[0].results[0].specimens == usual[0].results[0].specimens
