"""Accounts, keys and documents: what is right, in which spelling it is kept, and what is wrong."""

import pytest

from clawback.claims.payees import Checked, Given, check

GOOD_CLABES = ("999180000000100177", "002010077777777771", "646180157000000004")


def of(rail: str, **fields: str) -> Checked:
    return check(Given(rail=rail, **fields), is_test=True)


def rules(checked: Checked) -> dict[str, str]:
    return {fault.field: fault.rule for fault in checked.faults}


def spei(account: str, *, is_test: bool = True) -> Checked:
    return check(Given(rail="spei", holder_name="Payer Name", account=account), is_test=is_test)


@pytest.mark.parametrize("account", GOOD_CLABES)
def test_a_right_clabe(account: str) -> None:
    checked = spei(f" {account[:3]} {account[3:6]}-{account[6:]} ")
    assert (checked.faults, checked.fields["account"]) == ((), account)


def test_every_wrong_digit_of_a_clabe_is_found() -> None:
    """The weights 3, 7 and 1 are prime to ten: no single wrong digit passes."""
    right = GOOD_CLABES[1]
    for place in range(3, 18):
        for digit in "0123456789":
            wrong = right[:place] + digit + right[place + 1 :]
            assert rules(spei(wrong)) == ({} if wrong == right else {"account": "check_digit"})


@pytest.mark.parametrize(
    ("account", "rule"),
    [
        ("00201007777777777", "length"),
        ("0020100777777777711", "length"),
        ("00201007777777777x", "characters"),
        ("\uff10\uff10\uff12010077777777771", "characters"),
        ("\u0660\u0660\u0662010077777777771", "characters"),
        ("555180000000100173", "bank"),
        ("<script>alert(1)</script>", "characters"),
        ("", "required"),
        ("   ", "required"),
    ],
)
def test_a_wrong_clabe(account: str, rule: str) -> None:
    assert rules(spei(account)) == {"account": rule}


def test_the_sandbox_s_bank_is_one_in_test_books_only() -> None:
    assert rules(spei(GOOD_CLABES[0], is_test=False)) == {"account": "bank"}
    assert rules(spei(GOOD_CLABES[1], is_test=False)) == {}


@pytest.mark.parametrize(
    ("kind", "key", "kept"),
    [
        ("CPF", "529.982.247-25", "52998224725"),
        ("CNPJ", "11.222.333/0001-81", "11222333000181"),
        ("CNPJ", "12.abc.345/01de-35", "12ABC34501DE35"),
        ("EMAIL", "Payer.Name+x@Example.COM", "payer.name+x@example.com"),
        ("EMAIL", "a@" + "b" * 71 + ".com", "a@" + "b" * 71 + ".com"),
        ("PHONE", "+55 (11) 98765-4321", "+5511987654321"),
        ("PHONE", "+551133334444", "+551133334444"),
        ("EVP", "123E4567-E12B-12D1-A456-426655440000", "123e4567-e12b-12d1-a456-426655440000"),
    ],
)
def test_a_right_pix_key_is_kept_in_one_spelling(kind: str, key: str, kept: str) -> None:
    checked = of("pix", account=key, account_type=kind)
    assert (checked.faults, checked.fields) == (
        (), {"rail": "pix", "account": kept, "accountType": kind},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "key", "rule"),
    [
        ("CPF", "52998224724", "check_digit"),
        ("CPF", "11111111111", "check_digit"),
        ("CPF", "5299822472", "length"),
        ("CPF", "\uff15\uff12998224725", "characters"),
        ("CNPJ", "11222333000182", "check_digit"),
        ("CNPJ", "00000000000000", "check_digit"),
        ("CNPJ", "12ABC34501DE3X", "characters"),
        ("CNPJ", "1122233300018", "length"),
        ("EMAIL", "a" * 70 + "@b.com.br", "length"),
        ("EMAIL", "nobody", "form"),
        ("EMAIL", "<b>@x.com", "form"),
        ("PHONE", "11987654321", "form"),
        ("PHONE", "+5201987654321", "form"),
        ("EVP", "123e4567e12b12d1a456426655440000", "form"),
    ],
)
def test_a_wrong_pix_key(kind: str, key: str, rule: str) -> None:
    assert rules(of("pix", account=key, account_type=kind)) == {"account": rule}


def test_eleven_digits_are_never_guessed_to_be_something() -> None:
    assert rules(of("pix", account="52998224725")) == {"accountType": "required"}
    assert rules(of("pix", account="52998224725", account_type="GUESS")) == {"accountType": "type"}


def co(**fields: str) -> Checked:
    usual = {
        "holder_name": "Payer Name",
        "account": "12345678901",
        "account_type": "SAVINGS",
        "bank_code": "1007",
        "document_type": "CC",
        "document_id": "79.456.123",
    }
    return of("bank_co", **(usual | fields))


def test_a_colombian_account() -> None:
    assert co().fields == {
        "rail": "bank_co", "holderName": "Payer Name", "account": "12345678901",
        "accountType": "SAVINGS", "bankCode": "1007", "documentType": "CC",
        "documentId": "79456123",
    }  # fmt: skip
    assert co(document_type="NIT", document_id="890.903.938-8").faults == ()


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("account", "1234", "length"),
        ("account", "12a45", "characters"),
        ("account_type", "CURRENT", "type"),
        ("bank_code", "1", "length"),
        ("bank_code", "BANK", "characters"),
        ("document_type", "CPF", "type"),
        ("document_id", "", "required"),
        ("document_id", "1", "length"),
        ("holder_name", "Payer\x1b[31m", "characters"),
    ],
)
def test_what_is_wrong_with_it(field: str, value: str, rule: str) -> None:
    head, *tail = field.split("_")
    name = head + "".join(word.title() for word in tail)
    assert rules(co(**{field: value}))[name] == rule


def test_a_wrong_nit() -> None:
    assert rules(co(document_type="NIT", document_id="890.903.938-7")) == {
        "documentId": "check_digit"
    }


def test_documents_come_with_their_type_and_what_a_rail_has_no_use_for_is_refused() -> None:
    fields = {"holder_name": "Payer", "account": GOOD_CLABES[0]}
    assert rules(of("spei", **fields, document_id="X")) == {"documentType": "required"}
    assert rules(of("spei", **fields, bank_code="002")) == {"bankCode": "not_taken"}
    assert rules(of("spei", **fields, document_type="CURP", document_id="BOXW310820HNERXN09")) == {}
    assert rules(of("spei", **fields, document_type="CURP", document_id="BOXW310820HNERXN08")) == {
        "documentId": "check_digit"
    }
    assert rules(of("spei", **fields, document_type="RFC", document_id="GODE561231GR8")) == {}
    assert rules(of("spei", **fields, document_type="RFC", document_id="GODE56")) == {
        "documentId": "form"
    }


def test_all_faults_are_named_at_once() -> None:
    assert rules(of("bank_co")) == dict.fromkeys(
        ("account", "accountType", "bankCode", "holderName"), "required"
    )
