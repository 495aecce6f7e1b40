import { type Content, html, type Markup } from "./markup.js";

/** One column of a table. */
export interface TableColumn {
  readonly title: string;
  /** Figures are set right, in one width, and never broken. */
  readonly figures?: boolean;
  /** Sentences: as wide as can be read. */
  readonly prose?: boolean;
}

/** One row: its first cell is its heading. */
export interface TableRow {
  readonly cells: readonly Content[];
  /** `group`: begins a group of rows; `sum`: adds up the rows above. */
  readonly kind?: "group" | "sum";
}

/**
 * A table with a caption. It scrolls sideways in a box of its own where it is wider than the window, which the keyboard can
 * reach, too.
 */
export function dataTable(
  caption: string,
  columns: readonly TableColumn[],
  rows: readonly TableRow[],
): Markup {
  return html`<div class="scroll" role="group" aria-label="${caption}" tabindex="0"><table>
<caption>${caption}</caption>
<thead><tr>${columns.map((column) => html`<th scope="col"${look(column)}>${column.title}</th>`)}</tr></thead>
<tbody>${rows.map((row) => tableRow(row, columns))}</tbody>
</table></div>`;
}

function tableRow({ cells, kind }: TableRow, columns: readonly TableColumn[]): Markup {
  const [heading, ...others] = cells;
  return html`<tr${kind === undefined ? "" : html` class="${kind}"`}><th scope="row">${heading}</th>${others.map(
    (cell, at) => html`<td${look(columns[at + 1])}>${cell}</td>`,
  )}</tr>
`;
}

function look(column: TableColumn | undefined): Markup | undefined {
  if (column?.figures) return html` class="figures"`;
  return column?.prose ? html` class="prose"` : undefined;
}
