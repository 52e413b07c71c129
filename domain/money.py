"""Money: ISO 4217 currencies with their minor units, and exact scaling between them. Amounts are always integers."""

from dataclasses import dataclass
from typing import Final

from domain import errors

MAX_AMOUNT: Final = 2**53 - 1
"""The largest integer that every JSON client holds exactly; amounts and balances stay within it."""

MAX_TURNOVER: Final = 2**63 - 1
"""Of all that a ledger ever posted, so that every sum of its postings, up to any day, is one that Postgres can hold."""

_EXPONENTS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP"
    " COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR"
    " JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN"
    " NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL"
    " THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""ISO 4217 list one: codes by their number of decimals. Metals, testing codes and units without decimals are left out."""

_WITHDRAWN: Final = {
    0: "BEF BYR ESP GRD ITL LUF PTE ROL TRL",
    2: "ANG ATS BGN CUC CYP DEM EEK FIM FRF HRK IEP LTL LVL MRO MTL NLG SIT SKK SLL STD VEF ZMK ZWL",
}
"""ISO 4217 list three, the part that people still have old debts in."""


@dataclass(frozen=True)
class Currency:
    """One ISO 4217 currency; an amount of 1 is 10**-exponent of it. `active`: not withdrawn."""

    code: str
    exponent: int
    active: bool


CURRENCIES: Final = {
    code: Currency(code, exponent, active)
    for table, active in ((_EXPONENTS, True), (_WITHDRAWN, False))
    for exponent, codes in table.items()
    for code in codes.split()
}


class CurrencyPrecision(errors.DomainError):
    """An amount has more decimals than its currency; scaling would lose digits."""

    code = "currency_precision"


def scale(amount: int, decimals: int, currency: Currency) -> int:
    """`amount` in units of 10**-decimals as minor units of `currency`.

    Raises CurrencyPrecision where that is no integer.
    """
    if decimals <= currency.exponent:
        return int(amount * 10 ** (currency.exponent - decimals))
    quotient, remainder = divmod(amount, 10 ** (decimals - currency.exponent))
    if remainder:
        raise CurrencyPrecision(f"{currency.code} has {currency.exponent} decimals, but the amount needs {decimals}")
    return int(quotient)
