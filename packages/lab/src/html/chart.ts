import { type Content, html, type Markup } from "./markup.js";

/** A Vega-Lite specification: plain data. */
export type ChartSpec = Readonly<Record<string, unknown>>;

/** One chart with everything that stands in for it where it cannot be seen. */
export interface Chart {
  /** Letters, digits and hyphens; unique in the page. */
  readonly id: string;
  readonly title: string;
  /** How to read it, in a sentence or two below the title. */
  readonly reading: Content;
  /** What it shows, in words: its text alternative. */
  readonly description: string;
  readonly spec: ChartSpec;
  /** What its colours and numbers stand for, where the chart itself does not say. */
  readonly legend?: Markup;
  /** Its data. */
  readonly table: Markup;
}

/** A chart's place in the page: the script draws into it; without scripts the table below it is open. */
export function chartFigure({ id, title, reading, description, legend, table }: Chart): Markup {
  return html`<figure class="chart" id="${id}">
<figcaption><h3>${title}</h3><p>${reading}</p></figcaption>
<div class="drawing" role="img" aria-label="${title}. ${description}"><div class="canvas" aria-hidden="true" data-chart="${id}"></div></div>
${legend}
<details class="data"><summary>Data of this chart: ${title}</summary>${table}</details>
</figure>`;
}
