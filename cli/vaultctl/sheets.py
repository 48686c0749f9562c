"""A key on paper: one page of HTML with nothing outside it, and the same as plain text."""

from __future__ import annotations

import io
import textwrap
from html import escape

import segno

from vaultctl.text import quoted
from vaultd.core.clock import rfc3339
from vaultd.vault.sheets import RecoverySheet

_COLUMNS = 4

_WHAT = {
    "recovery": (
        "Recovery key",
        "Who has these words can read every backup in this vault.",
        "Without a recovery key nobody can read the backups, not even the machine that made them.",
    ),
    "admin": (
        "Admin key",
        "Who has these words can let machines and keys into this vault, and shut them out.",
        "It opens no backup. Without it no machine and no key can be added, replaced or revoked.",
    ),
}

_STYLE = """
@page { size: A4; margin: 16mm }
* { box-sizing: border-box }
body { font: 11pt/1.4 system-ui, sans-serif; color: #000; background: #fff; max-width: 178mm;
  margin: 8mm auto; padding: 0 4mm }
h1 { font-size: 20pt; line-height: 1.15; margin: 0 }
h2 { font-size: 11pt; margin: 5mm 0 1.5mm; text-transform: uppercase; letter-spacing: .06em }
p { margin: 1.5mm 0 }
header { display: flex; justify-content: space-between; gap: 8mm; align-items: flex-start;
  border-bottom: 2.5pt solid #000; padding-bottom: 4mm }
.label { font-size: 13pt; margin-top: 1mm }
.secret { border: 2pt solid #000; padding: 1mm 3mm; font-weight: 700; white-space: nowrap }
ol { list-style: none; margin: 0; padding: 4mm; border: 1pt solid #000;
  display: grid; grid-template-columns: repeat(4, 1fr); gap: 2.2mm 6mm;
  font: 13pt ui-monospace, "DejaVu Sans Mono", monospace }
li { display: flex; gap: 2mm; white-space: nowrap }
li b { font-weight: 400; color: #555; min-width: 1.6em; text-align: right }
.row { display: flex; gap: 8mm; align-items: flex-start }
.row svg { flex: none; width: 44mm; height: 44mm }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 1mm 5mm; margin: 0;
  align-items: baseline }
dt { color: #333 } dd { margin: 0; overflow-wrap: anywhere }
code, dd, pre { font: 10pt ui-monospace, "DejaVu Sans Mono", monospace }
pre { border: .5pt solid #777; padding: 2mm 3mm; margin: 1.5mm 0; white-space: pre-wrap;
  overflow-wrap: anywhere }
ul { margin: 1mm 0; padding-left: 5mm }
table { border-collapse: collapse; width: 100% }
td { border-bottom: .5pt solid #777; height: 8mm; vertical-align: bottom; padding-right: 4mm }
@media print { body { margin: 0; padding: 0; max-width: none } }
"""


def as_html(sheet: RecoverySheet) -> str:
    """Return a sheet as one HTML page: no script, no font, no picture from elsewhere."""
    title, power, loss = _WHAT[str(sheet.type)]
    words = "".join(f"<li><b>{at}</b>{word}</li>" for at, word in enumerate(sheet.words, 1))
    facts = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in _facts(sheet))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(f"{title} {sheet.label}, vault {sheet.vault_id[:8]}")}</title>
<style>{_STYLE}</style></head><body>
<header><div><h1>{title}</h1><div class="label">“{escape(sheet.label)}” of vault
“{escape(sheet.vault_label)}”</div></div><div class="secret">SECRET — KEEP SAFE</div></header>
<p><strong>{power}</strong> {loss}</p>
<h2>The 24 words, in this order</h2>
<ol>{words}</ol>
<div class="row"><div style="flex:1">
<h2>Which vault</h2><dl>{facts}</dl></div>
<div><h2>The words as a code</h2>{_qr(" ".join(sheet.words))}</div></div>
<h2>{"To get data back" if str(sheet.type) == "recovery" else "To use it"}</h2>
<pre>{escape(_commands(sheet))}</pre>
<p>{escape(_asking(sheet))}</p>
<h2>How to keep this sheet</h2>
<ul>{"".join(f"<li style='display:list-item;white-space:normal'>{line}</li>" for line in _KEEPING)}
</ul>
<table><tr><td>Kept by:</td><td>Place:</td><td>Tested on:</td></tr>
<tr><td></td><td></td><td></td></tr></table>
</body></html>
"""


def as_text(sheet: RecoverySheet) -> str:
    """Return a sheet as plain text, 78 columns wide."""
    title, power, loss = _WHAT[str(sheet.type)]
    rows = [
        "  ".join(
            f"{at + 1:>2} {sheet.words[at]:<10}" for at in range(start, start + _COLUMNS)
        ).rstrip()
        for start in range(0, len(sheet.words), _COLUMNS)
    ]
    facts = [f"  {name:<12} {text}" for name, text in _facts(sheet)]
    lines = [
        f"{title.upper()} {sheet.label!r} OF VAULT {sheet.vault_label!r}",
        "SECRET - KEEP SAFE",
        "",
        *textwrap.wrap(f"{power} {loss}", 78),
        "",
        "The 24 words, in this order:",
        "",
        *(f"  {row}" for row in rows),
        "",
        "Which vault:",
        "",
        *facts,
        "",
        "To get data back:" if str(sheet.type) == "recovery" else "To use it:",
        "",
        *(f"  {line}" for line in _commands(sheet).splitlines()),
        "",
        *textwrap.wrap(_asking(sheet), 78),
        "",
        *(
            line
            for rule in _KEEPING
            for line in textwrap.wrap(rule, 76, initial_indent="- ", subsequent_indent="  ")
        ),
        "",
        "Kept by: ______________  Place: ______________  Tested on: ______________",
    ]
    return "\n".join(lines) + "\n"


_KEEPING = (
    "Keep it on paper, in a safe, away from the machine and away from the other recovery key.",
    "Do not photograph it, mail it or store it in a cloud.",
    "Twice a year, and after each move, test it: vaultctl key test.",
    "If somebody may have seen it: vaultctl key add, then key revoke and key rotate.",
)


def _facts(sheet: RecoverySheet) -> list[tuple[str, str]]:
    return [
        ("Vault id", sheet.vault_id),
        ("Address", sheet.location),
        ("Made", rfc3339(sheet.created_ns)),
        *(("Fingerprint", text) for text in sheet.fingerprints),
    ]


def _commands(sheet: RecoverySheet) -> str:
    place = f"-r {quoted(sheet.location)}"
    if str(sheet.type) == "admin":
        return f"vaultctl {place} host list\nvaultctl {place} key list"
    return f"vaultctl {place} snapshots\nvaultctl {place} restore latest --target /restored"


def _asking(sheet: RecoverySheet) -> str:
    """Say what the program will ask."""
    if str(sheet.type) == "admin":
        return (
            "Commands that change who may do what ask for these words, or for the admin key file "
            "and its passphrase."
        )
    access = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to what the storage provider gave you"
    return (
        "On any machine with vaultd. It asks for these words, and whether the fingerprint is the "
        "one above: it must be, letter by letter."
        + (f" Before that, {access}." if sheet.location.startswith("s3:") else "")
    )


def _qr(text: str) -> str:
    """Return a QR code as SVG, scaled by whoever shows it."""
    target = io.BytesIO()
    # Capitals need fewer modules, and words are read without regard to case.
    segno.make(text.upper(), error="m", micro=False).save(
        target, kind="svg", xmldecl=False, svgns=True, omitsize=True, border=4
    )
    return target.getvalue().decode()
