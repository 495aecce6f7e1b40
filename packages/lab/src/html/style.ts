const LIGHT = `
  color-scheme: light;
  --bg: #ffffff; --fg: #1b1f24; --muted: #4d5761; --line: #c9d1d9; --grid: #e3e8ed; --panel: #f5f7f9;
  --link: #0550ae; --focus: #0550ae; --edge: #1b1f24; --total: #9aa5b1; --less: #56b4e9; --bad: #a40e26;
  --c0: #e69f00; --c1: #56b4e9; --c2: #009e73; --c3: #f0e442; --c4: #0072b2; --c5: #d55e00; --c6: #cc79a7;`;
const DARK = `
  color-scheme: dark;
  --bg: #12161b; --fg: #e8edf2; --muted: #b3bdc7; --line: #46505a; --grid: #2a323a; --panel: #1b2128;
  --link: #8ec7ff; --focus: #ffd866; --edge: #e8edf2; --total: #6b7785; --less: #56b4e9; --bad: #ff9492;
  --c0: #e69f00; --c1: #56b4e9; --c2: #00a578; --c3: #f0e442; --c4: #2b8fd0; --c5: #e0661a; --c6: #cc79a7;`;

/** The page's style sheet: light, dark as the reader's system asks, and A4 for print. */
export const STYLE: string = `
:root {${LIGHT}
}
@media (prefers-color-scheme: dark) { @media not print { :root {${DARK}
} } }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--bg); color: var(--fg); font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
header, main, footer { max-width: 1080px; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 0; }
p { max-width: 75ch; margin: .5rem 0; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.skip { position: absolute; left: -999rem; padding: .5rem 1rem; background: var(--panel); }
.skip:focus { left: 1rem; top: .5rem; z-index: 1; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .75rem 0; padding: 0; list-style: none; }
code, pre { font: .9em/1.45 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .75rem; overflow-x: auto; overflow-wrap: normal; }
code, pre, td, th, b { unicode-bidi: isolate; }
.scroll { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: 0 0 .35rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: normal; }
th[scope="row"] { font-weight: 400; }
thead th { vertical-align: bottom; border-bottom: 2px solid var(--line); }
.prose { min-width: 22rem; }
.again { color: var(--muted); font-weight: 400; }
.figures { text-align: right; font-variant-numeric: tabular-nums; }
td.figures { white-space: nowrap; }
tr.group th, tr.group td { font-weight: 600; }
tr.sum th, tr.sum td { font-weight: 600; border-top: 2px solid var(--line); }
.notes { padding-left: 1.25rem; color: var(--muted); }
figure.chart { margin: 1.25rem 0 2rem; }
figcaption p { color: var(--muted); margin: .25rem 0 .5rem; }
.drawing { min-height: 3rem; }
.canvas { width: 100%; }
.canvas svg { display: block; max-width: 100%; }
.patterns { position: absolute; }
.canvas text { paint-order: stroke; stroke-linejoin: round; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; margin: .5rem 0; padding: 0; list-style: none; font-size: .88rem; }
.legend svg { vertical-align: -2px; }
summary { cursor: pointer; padding: .25rem 0; }
details { margin: .35rem 0; }
footer { margin-top: 3rem; padding-top: .75rem; padding-bottom: 2rem; color: var(--muted); font-size: .9rem; border-top: 1px solid var(--line); }
.failed { color: var(--bad); }
#vg-tooltip-element { position: fixed; visibility: hidden; z-index: 10; padding: .4rem .6rem; pointer-events: none; background: var(--panel); color: var(--fg); border: 1px solid var(--line); border-radius: 4px; font-size: .85rem; }
#vg-tooltip-element.visible { visibility: visible; }
#vg-tooltip-element table { font-size: inherit; }
#vg-tooltip-element td { border: 0; padding: 0 .5rem 0 0; }
#vg-tooltip-element td.key { color: var(--muted); }
@media (max-width: 520px) { .prose { min-width: 13rem; } td > code, th > code { overflow-wrap: anywhere; display: inline-block; min-width: 8.5rem; max-width: 11rem; } header, main, footer { padding-left: .8rem; padding-right: .8rem; } h1 { font-size: 1.35rem; } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@page { size: A4; margin: 15mm; }
@media print {
  .prose { min-width: 0; }
  body { font-size: 10pt; }
  header, main, footer { max-width: none; padding: 0; }
  nav, .skip, details:not([open]) { display: none; }
  h2, h3, figcaption, caption { break-after: avoid; }
  .drawing, .legend, tr { break-inside: avoid; }
  figure.chart > .drawing, figure.chart > figcaption { break-after: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  th, td { overflow-wrap: anywhere; padding-right: .4rem; }
  thead { display: table-header-group; }
  .canvas svg { width: 100%; height: auto; }
}
`;
