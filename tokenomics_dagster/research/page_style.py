"""How the page of a result looks, light and dark, from a phone to a wide screen. No content belongs here."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #52606d; --paper: #ffffff; --card: #f5f7f9; --rule: #d9e0e6;
  --c0: #2f6db3; --c1: #d9660b; --c2: #7b8794; --c3: #2f8f6b; --band: #c3d6ec; --bad: #b3402f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ee; --soft: #a3b0bc; --paper: #14191e; --card: #1d242b;
  --rule: #36424d; --c0: #6ea8e6; --c1: #f0954a; --c2: #8b98a5; --c3: #5fc49c; --band: #2c4766; --bad: #f08a77; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.25rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; padding-top: .75rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.soft, dd, figcaption, small { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(14rem, 100%), 1fr)); gap: .6rem;
  margin: 1rem 0; }
.tile { background: var(--card); border-radius: .5rem; padding: .7rem .85rem; }
.tile b { display: block; font-size: 1.3rem; font-variant-numeric: tabular-nums; }
.tile span { font-weight: 600; }
.tile small { display: block; line-height: 1.35; }
.doubts { background: var(--card); border-left: 4px solid var(--c1); border-radius: .25rem;
  padding: .6rem 1rem; margin: 1rem 0; }
.doubts ul { margin: .3rem 0; padding-left: 1.1rem; }
figure { margin: .75rem 0; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .9rem; }
.legend i { display: inline-block; width: 1rem; height: .2rem; vertical-align: .25rem; margin-right: .35rem; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg text.strong { fill: var(--ink); font-weight: 600; }
svg path { fill: none; stroke-width: 1.4; }
.c0 { stroke: var(--c0); stroke-width: 2.2; } .c1 { stroke: var(--c1); }
.c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.legend .c0 { background: var(--c0); } .legend .c1 { background: var(--c1); }
.legend .c2 { background: var(--c2); } .legend .c3 { background: var(--c3); }
.grid, .zero { stroke: var(--rule); } .fill, .bar { fill: var(--c0); }
.band { fill: var(--band); } .dot { fill: var(--c0); }
.other { fill: var(--c2); } .mark { stroke: var(--c1); stroke-width: 2; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
td.n, th.n { text-align: right; white-space: nowrap; }
td.t { overflow-wrap: anywhere; }
td:first-child { min-width: 7.5rem; }
.lost { color: var(--bad); }
details { margin: .5rem 0; } summary { cursor: pointer; }
code { font-size: .85em; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  svg text { font-size: 16px; }
  table.rows thead { display: none; }
  table.rows tr { display: block; padding: .45rem 0; border-bottom: 1px solid var(--rule); }
  table.rows td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .05rem 0;
    text-align: right; }
  table.rows td::before { content: attr(data-label); color: var(--soft); text-align: left; flex: none; max-width: 45%; }
  table.rows td:first-child { font-weight: 600; }
}
@media print { :root { color-scheme: light; } h2 { break-after: avoid; } figure, .tile { break-inside: avoid; } }
"""
