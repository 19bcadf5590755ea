"""How a page looks, light and dark, from a phone to a wide screen and on paper. No content belongs here.

Texts have a contrast of at least 4.5 to 1 on what they stand on, marks of 3 to 1 (WCAG 2.2 AA).
"""

STYLE = """
:root { color-scheme: light dark; --ink: #17212b; --soft: #4d5a67; --paper: #ffffff; --card: #f4f6f8; --rule: #d8dfe5;
  --link: #1d5ca3; --c0: #2f6db3; --c1: #c4570a; --c2: #76828e; --c3: #2a8160; --band: #c3d6ec; --bad: #ab3a2a;
  --good: #1f7350; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --soft: #a5b2be; --paper: #11161b; --card: #1a2128;
  --rule: #323d47; --link: #86b8f0; --c0: #6ea8e6; --c1: #f0954a; --c2: #8b98a5; --c3: #5fc49c; --band: #2c4766;
  --bad: #f08a77; --good: #67c9a0; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
header, main, footer, nav ul { max-width: 62rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.75rem; }
main { padding-bottom: 3rem; }
main:first-child { padding-top: 1.75rem; }
footer { padding: 1rem 1rem 3rem; color: var(--soft); font-size: .9rem; }
h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
a { color: var(--link); text-underline-offset: .15em; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.kind { color: var(--soft); font-size: .9rem; margin: 0 0 .1rem; }
.soft, .tile small, figcaption, small, .from { color: var(--soft); }
.from { font-size: .85rem; margin-top: .75rem; }
nav { position: sticky; top: 0; background: var(--paper); border-bottom: 1px solid var(--rule); z-index: 1;
  margin-top: 1rem; }
nav ul { list-style: none; display: flex; gap: 1.1rem; overflow-x: auto; scrollbar-width: none; font-size: .9rem; }
nav li { flex: none; }
nav a { display: block; padding: .55rem 0; text-decoration: none; }
nav a:hover { text-decoration: underline; }
section { scroll-margin-top: 1.5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(13.5rem, 100%), 1fr)); gap: .6rem;
  margin: 1.25rem 0 1rem; }
.tile { background: var(--card); border-radius: .6rem; padding: .75rem .9rem; }
.tile dt { font-weight: 600; font-size: .92rem; }
.tile dd { margin: 0; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.35; font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere; }
.tile small { display: block; line-height: 1.35; }
.doubts { background: var(--card); border-left: 4px solid var(--c1); border-radius: .25rem;
  padding: .6rem 1rem; margin: 1rem 0; }
ul { margin: .3rem 0; padding-left: 1.1rem; }
nav ul { padding: 0 1rem; margin: 0 auto; }
figure { margin: 1rem 0; }
figcaption { font-size: .9rem; margin-top: .3rem; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem; margin-bottom: .35rem; }
.legend i { display: inline-block; width: 1rem; height: .3rem; vertical-align: .2rem; margin-right: .4rem; }
.legend i.mark { width: .2rem; height: .9rem; vertical-align: -.1rem; background: var(--c1); }
svg { display: block; width: 100%; overflow: visible; }
svg text { fill: var(--soft); font: 13px system-ui, sans-serif; paint-order: stroke; stroke: var(--paper);
  stroke-width: 3px; stroke-linejoin: round; font-variant-numeric: tabular-nums; }
svg text.strong { fill: var(--ink); font-weight: 600; }
.plot path { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.plot path.c0 { stroke-width: 2.2; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.legend .c0, .legend .b0 { background: var(--c0); } .legend .c1, .legend .b1 { background: var(--c1); }
.legend .c2 { background: var(--c2); } .legend .c3, .legend .b2 { background: var(--c3); }
.grid, .zero { stroke: var(--rule); } .bar, .b0 { fill: var(--c0); }
.fill { fill: var(--band); stroke: var(--c0); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.b1 { fill: var(--c1); } .b2 { fill: var(--c3); }
.band { fill: var(--band); } .dot { fill: var(--c0); }
.other { fill: var(--c2); } line.mark { stroke: var(--c1); stroke-width: 3; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
tbody th, tfoot th { font-weight: 500; min-width: 7.5rem; overflow-wrap: anywhere; }
tfoot th, tfoot td { font-weight: 700; border-bottom: 0; }
td, th.n { text-align: right; white-space: nowrap; }
thead th.n { white-space: normal; }
td.t { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.lost { color: var(--bad); }
.tag { display: inline-block; min-width: 2.7em; text-align: center; border: 1px solid; border-radius: .3rem;
  font-size: .78rem; line-height: 1.35; font-weight: 600; }
.buy { color: var(--good); } .sell { color: var(--bad); }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--link); }
code { font-size: .85em; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  h1 { font-size: 1.45rem; }
  .tiles { grid-template-columns: 1fr 1fr; }
  .tile { padding: .6rem .7rem; }
  .tile b { font-size: 1.1rem; }
  table.rows thead { display: none; }
  table.rows tr { display: block; padding: .5rem 0; border-bottom: 1px solid var(--rule); }
  table.rows th { display: block; border: 0; padding: .05rem 0; font-weight: 600; }
  table.rows td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .05rem 0;
    text-align: right; }
  table.rows td.t { display: block; text-align: left; }
  table.rows td:empty { display: none; }
  table.rows td::before { content: attr(data-l); color: var(--soft); text-align: left; flex: none; max-width: 45%; }
  table.rows td.t::before { content: attr(data-l) ": "; }
}
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --card: #f4f6f8; --rule: #ccc; --link: #000;
    --c0: #2f6db3; --c1: #c4570a; --c2: #76828e; --c3: #2a8160; --band: #c3d6ec; --bad: #ab3a2a; --good: #1f7350; }
  body { font-size: 10.5pt; } nav { display: none; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  h2, h3, summary, .legend { break-after: avoid; } svg, .tile, tr { break-inside: avoid; }
  .tiles { grid-template-columns: repeat(4, 1fr); } thead { display: table-header-group; }
  .wide { overflow: visible; } a { text-decoration: none; }
  table { font-size: 8pt; } td, th.n { white-space: normal; } tbody th, tfoot th { min-width: 0; }
  th, td { padding-right: .4rem; }
  details::details-content { content-visibility: visible; display: block; }
  svg *, .tag, .legend i, .tile { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
