"""What clinicians assessed: assess add, list, import."""

from __future__ import annotations

from pathlib import Path

import click

from adapter.cli.common import Session, by_option, echo, json_option, pass_session, print_json, print_table, reason
from adapter.review.assessments import Plan, enter, plan, read_entry, read_file
from adapter.review.rows import file_lines
from adapter.rules.assess import ITEMS
from adapter.store import StoreError

why_option = reason("Why; required where it changes what stands. It is kept in the trail.", default="")


@click.group()
def assess() -> None:
    """Enter ascites, encephalopathy and dialysis.

    They are inputs of the scores, as clinicians judged them.
    """


@assess.command("add")
@click.argument("study_id")
@click.option("--on", "assessed_on", required=True, help="The day of the assessment, as 2026-02-02.")
@click.option("--ascites", type=click.Choice(ITEMS["ascites"]), default=None)
@click.option("--encephalopathy", type=click.Choice(ITEMS["encephalopathy"]), default=None)
@click.option(
    "--dialysis", type=click.Choice(ITEMS["dialysis"]), default=None, help="Twice or more in the week before."
)
@by_option
@why_option
@pass_session
def add(
    session: Session,
    study_id: str,
    assessed_on: str,
    ascites: str | None,
    encephalopathy: str | None,
    dialysis: str | None,
    who: str,
    why: str,
) -> None:
    """Enter or correct one day's assessment.

    Each entry replaces the day's earlier one as a whole: an item that is left out was not assessed. Without any item
    the day's entry is taken back.
    """
    items = {"ascites": ascites, "encephalopathy": encephalopathy, "dialysis": dialysis}
    with session.store() as store:
        entry = read_entry(study_id, assessed_on, items, store.participants(), session.today)
        if not any(items.values()) and plan(store, [entry]).unchanged:
            raise click.UsageError("say what was assessed: --ascites, --encephalopathy or --dialysis")
        done = enter(store, [entry], who=who, why=why, at=session.now())
        session.settle(store)
    became = "is that already; nothing changed"
    if done.new or done.corrections:
        became = "is entered" if done.new else "is corrected" if any(items.values()) else "is taken back"
    echo(f"{entry.assessment.study_id} on {entry.assessment.assessed_on} {became}")


@assess.command("import")
@click.argument("csv_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only say what it would change.")
@by_option
@why_option
@pass_session
def import_(session: Session, csv_file: Path, dry_run: bool, who: str, why: str) -> None:
    """Enter assessments from a CSV file.

    Its columns are study_id,assessed_on,ascites,encephalopathy,dialysis. All of it is taken or nothing.
    """
    lines = file_lines(csv_file)
    with session.store() as store:
        entries = read_file(lines, store.participants(), session.today)
        if dry_run:
            planned = plan(store, entries)
            for each in planned.corrections:
                echo(f"line {each.line}: {each.told()[0]}")
            echo(f"nothing is entered; it would be: {_counted(len(entries), planned)}")
            return
        done = enter(store, entries, who=who, why=why, at=session.now())
        session.settle(store)
    echo(_counted(len(entries), done))


def _counted(entries: int, done: Plan) -> str:
    changed = f"{len(done.new)} new, {len(done.corrections)} corrected, {done.unchanged} unchanged"
    return f"{entries} assessments in the file, {changed}"


@assess.command("list")
@click.argument("study_id", required=False)
@click.option("--all-versions", "every", is_flag=True, help="Also what was corrected or taken back.")
@json_option
@pass_session
def list_(session: Session, study_id: str | None, every: bool, as_json: bool) -> None:
    """List the assessments that stand.

    Of one participant where given; an empty item was not assessed.
    """
    with session.store() as store:
        if study_id is not None and store.participant(study_id) is None:
            raise StoreError(
                f"there is no participant {study_id}; `lab-adapter participants list` shows those enrolled"
            )
        standing = {each.id for each in store.assessments(study_id)}
        found = store.assessments(study_id, every=every)
    names = ("study_id", "assessed_on", *ITEMS, "who", "at", "why")
    rows = [{name: getattr(each, name) for name in names} | {"stands": each.id in standing} for each in found]
    if as_json:
        print_json([{**row, "assessed_on": row["assessed_on"].isoformat()} for row in rows])
        return
    heads = ("participant", "day", *ITEMS, "by", "entered", "reason", *(["stands"] if every else []))
    cells = [[row[name] for name in names] + ([("no", "yes")[row["stands"]]] if every else []) for row in rows]
    print_table(heads, cells)
