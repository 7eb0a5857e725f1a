"""Rows of batches: what a CSV file may look like, and what is one row's own fault."""

import pytest

from clawback.claims.rows import GivenRow, InvalidCsv, RowBody, read_csv, read_row
from clawback.money import Loose, NumberText, read_amount

HEAD = "transactionId,amount,reason,expectedRemaining,reference\n"
TXN = "TXN-MP331BTF-R308"


def rows(text: str | bytes) -> tuple[GivenRow, ...]:
    read = read_csv(text.encode() if isinstance(text, str) else text)
    assert isinstance(read, tuple), read
    return read


def line(text: str | bytes) -> int:
    read = read_csv(text.encode() if isinstance(text, str) else text)
    assert isinstance(read, InvalidCsv), read
    assert read.details() == {"line": read.line}
    return read.line


def test_a_whole_row() -> None:
    (row,) = rows(HEAD + f"{TXN},10.50,requested_by_customer,861.18,c-17\n")
    assert row == GivenRow(
        transaction_id=TXN,
        amount=read_amount("10.5"),
        reason="requested_by_customer",
        expected_remaining=read_amount("861.18"),
        reference="c-17",
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_line_ends(end: str) -> None:
    between = end or "\n"
    (one, two) = rows(f"transactionId,amount{between}{TXN},1{between}{TXN},2{end}")
    assert (one.amount, two.amount) == (read_amount("1"), read_amount("2"))


def test_columns_come_in_any_order_and_may_be_left_out() -> None:
    assert rows(f"transactionId\n{TXN}\n") == (GivenRow(transaction_id=TXN),)
    (row,) = rows(f"reference,transactionId\nx,{TXN}\n")
    assert (row.reference, row.transaction_id) == ("x", TXN)


def test_quotes() -> None:
    (row,) = rows(f'transactionId,reason\n"{TXN}","said ""no"",\r\nthen yes"\n')
    assert row.reason == 'said "no",\r\nthen yes'


def test_text_that_a_spreadsheet_would_run_is_kept_as_it_is() -> None:
    (row,) = rows(f"transactionId,reason,reference\n{TXN},=1+1,@SUM(A1)\n")
    assert (row.reason, row.reference) == ("=1+1", "@SUM(A1)")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", 1),
        (HEAD, 1),
        ("\ufefftransactionId\nx\n", 1),
        ("transaction\nx\n", 1),
        ("amount\n1\n", 1),
        ("transactionId,transactionId\nx,y\n", 1),
        ("transactionId,Amount\nx,1\n", 1),
        ("transactionId,amount\nx\n", 2),
        ("transactionId\nx,y\n", 2),
        ('transactionId,reason\nx,"a\ny,b\n', 2),
        ('transactionId,reason\nx,"a"b\n', 2),
        ('transactionId,reason\nx,a"b\n', 2),
        ('transactionId,reason\nx,"a\nb"\ny,"c"d\n', 4),
        ("transactionId\nx\ry\n", 2),
        ("transactionId\nx\n\x00\n", 3),
        ("transactionId\nx\n\x1b[31m\n", 3),
        (b"transactionId\nx\n\xff\n", 3),
        ("transactionId\nx\n".encode("utf-16"), 1),
    ],
)
def test_what_is_no_file_of_this_call_is_refused_with_its_line(
    text: str | bytes, where: int
) -> None:
    assert line(text) == where


def test_a_thousand_rows_are_the_most() -> None:
    assert len(rows("transactionId\n" + f"{TXN}\n" * 1000)) == 1000
    assert line("transactionId\n" + f"{TXN}\n" * 1001) == 1002


def test_a_million_quotes_are_read_at_once() -> None:
    assert line(b"transactionId\n" + b'"' * 1_000_001) == 2


@pytest.mark.parametrize(
    ("cells", "code", "param"),
    [
        (",1,,,", "missing_field", "transactionId"),
        (f"{TXN},x,,,", "invalid_amount", "amount"),
        (f'{TXN},"1,000",,,', "invalid_amount", "amount"),
        (f"{TXN},0,,,", "invalid_amount", "amount"),
        (f"{TXN},-1,,,", "invalid_amount", "amount"),
        (f"{TXN},1e12,,,", "invalid_amount", "amount"),
        (f"{TXN},\uff11\uff10,,,", "invalid_amount", "amount"),
        (f"{TXN},1,,-1,", "invalid_amount", "expectedRemaining"),
        (f"{TXN},1,{'r' * 501},,", "invalid_field", "reason"),
        (f"{TXN},x,,,{'r' * 129}", "invalid_field", "reference"),
    ],
)
def test_a_wrong_value_is_its_row_s_own_fault(cells: str, code: str, param: str) -> None:
    bad, good = rows(HEAD + cells + f"\n{TXN},1,,,\n")
    assert bad.fault is not None
    assert (bad.fault.code, bad.fault.param) == (code, param)
    assert good.fault is None


@pytest.mark.parametrize(
    ("row", "code", "param"),
    [
        (RowBody(), "missing_field", "transactionId"),
        (RowBody(transaction_id=Loose(7)), "invalid_field", "transactionId"),
        (RowBody(transaction_id=Loose(TXN), amount=Loose("10")), "invalid_amount", "amount"),
        (RowBody(transaction_id=Loose(TXN), amount=Loose(None)), "invalid_amount", "amount"),
        (RowBody(transaction_id=Loose(TXN), amount=Loose([])), "invalid_amount", "amount"),
        (RowBody(transaction_id=Loose(TXN), reason=Loose({})), "invalid_field", "reason"),
        (RowBody(transaction_id=Loose(TXN), reference=Loose(1)), "invalid_field", "reference"),
        (
            RowBody(transaction_id=Loose(TXN), expected_remaining=Loose(NumberText("1e99"))),
            "invalid_amount", "expectedRemaining",
        ),
    ],
)  # fmt: skip
def test_so_in_json(row: RowBody, code: str, param: str) -> None:
    fault = read_row(row).fault
    assert fault is not None
    assert (fault.code, fault.param) == (code, param)


def test_a_long_name_is_not_echoed() -> None:
    assert read_row(RowBody(transaction_id=Loose("x" * 65))).transaction_id is None
