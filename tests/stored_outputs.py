"""How a stored output is compared with a fresh one: the rules of nbval, changed by ``pytest -p tests.stored_outputs``.

Records are compared as numbers, claims as they stand, everything else as text. In a cell tagged ``nbval-ignore-output``
the text is left out; its records, its claims and the kinds of its outputs are compared all the same.

The kernels are the press's: of this Python, with its variables, and warm where there are several notebooks.
"""

from contextlib import ExitStack
from functools import cache, partial

import nbval.kernel
import pytest
from jupyter_client.manager import KernelManager
from nbval.plugin import IPyNbCell

from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.press import kernels
from deepfm_helpers.press.comparing import unlike
from deepfm_helpers.press.warm import WarmParent
from deepfm_helpers.records import RECORD_MIME, echo


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    notebooks = {item.path for item in items if isinstance(item, IPyNbCell)}
    # coverage has to see the imports; and with two notebooks, imports of their own are as soon done
    several = len(notebooks) > 2 and not getattr(config.option, "cov_source", None)

    @cache
    def manager() -> type:
        """The class of the kernel managers, made when the first kernel is started: not where others run the tests."""
        warm = None
        if several:
            stack = ExitStack()
            config.add_cleanup(stack.close)
            warm = stack.enter_context(WarmParent()).blocking_manager
        return kernels.of_this_python(warm or KernelManager)

    nbval.kernel.KernelManager = lambda **options: manager()(**options)


def pytest_itemcollected(item):
    if isinstance(item, IPyNbCell):
        item.compare_outputs = partial(_compare, item, as_text=item.options["check"])
        item.options["check"] = True


def _compare(item: IPyNbCell, fresh: list, stored: list, *, as_text: bool) -> bool:
    item.comparison_traceback = differences(stored, fresh)
    if item.comparison_traceback or not as_text:
        return not item.comparison_traceback
    return IPyNbCell.compare_outputs(
        item, *([o for o in side if not _is_record(o)] for side in (fresh, stored))
    )


def differences(stored: list, fresh: list) -> list[str]:
    """What is wrong with the records, the claims and the kinds of the outputs of one cell, in words."""
    kinds, fresh_kinds = ([sorted(o["data"]) for o in side if "data" in o] for side in (stored, fresh))
    if kinds != fresh_kinds:
        return [f"the stored outputs are {kinds}, those of this run {fresh_kinds}"]
    claims, fresh_claims = ([o["data"][CLAIM_MIME] for o in side if _is_claim(o)] for side in (stored, fresh))
    found = [
        f"stored claim {a}, in this run {b}" for a, b in zip(claims, fresh_claims, strict=True) if a != b
    ]
    records, fresh_records = ([o for o in side if _is_record(o)] for side in (stored, fresh))
    for a, b in zip(records, fresh_records, strict=True):
        found += _record_differences(a, b)
    return found


def _record_differences(stored: dict, fresh: dict) -> list[str]:
    within, wanted = (o["metadata"].get(RECORD_MIME, {}).get("within") for o in (stored, fresh))
    if within != wanted:
        states = "no tolerance" if within is None else f"a tolerance of {within}"
        return [
            f"the stored record states {states}, its cell within={wanted}: store it anew with `make execute`"
        ]
    values = stored["data"][RECORD_MIME]
    lines = (sorted(text.split("\n")) for text in (stored["data"]["text/plain"], echo(values, within)))
    shown = (
        []
        if len(set(map(tuple, lines))) == 1
        else ["the text of the stored record is not that of its values"]
    )
    return shown + list(unlike(values, fresh["data"][RECORD_MIME], within))


def _is_record(output: dict) -> bool:
    return RECORD_MIME in output.get("data", {})


def _is_claim(output: dict) -> bool:
    return CLAIM_MIME in output.get("data", {})
