import { html, type Markup, trusted } from "./markup.js";

/**
 * Colours after Okabe and Ito, which people with any of the common colour-vision deficiencies tell apart; its black, which
 * is a page's ink, is left to texts. Custom properties of the page, so that dark mode and print choose their own.
 */
const COLOURS = 7;
/** Fills of one colour: plain, and with the patterns below. */
const PATTERNS = ["plain", "lines", "dots", "hatch"] as const;

/** The fill of the n-th category (from 0): a colour, and from the eighth on a colour with a pattern. Any chart gives the same. */
export function categoryFill(n: number): string {
  const pattern = Math.floor(n / COLOURS) % PATTERNS.length;
  const colour = n % COLOURS;
  return pattern === 0 ? `var(--c${colour})` : `url(#fill-${colour}-${PATTERNS[pattern]})`;
}

/** The patterns that {@link categoryFill} names; once in a page. */
export function patternDefinitions(): Markup {
  const shapes: Readonly<Record<string, string>> = {
    lines: '<path d="M0 8L8 0M-2 2L2-2M6 10L10 6" stroke="var(--bg)" stroke-width="2.2" fill="none"/>',
    dots: '<circle cx="2" cy="2" r="1.5" fill="var(--bg)"/><circle cx="6" cy="6" r="1.5" fill="var(--bg)"/>',
    hatch: '<path d="M0 4H8M4 0V8" stroke="var(--bg)" stroke-width="1.6" fill="none"/>',
  };
  const patterns = Array.from({ length: COLOURS }, (_, colour) =>
    Object.entries(shapes).map(
      ([name, shape]) =>
        html`<pattern id="fill-${colour}-${name}" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" fill="var(--c${colour})"/>${trusted(shape)}</pattern>`,
    ),
  );
  return html`<svg class="patterns" width="0" height="0" aria-hidden="true" focusable="false"><defs>${patterns}</defs></svg>`;
}

/**
 * Some categories with their fills and the numbers that bars carry.
 * @param all of which they are; fills and numbers go by the place there
 */
export function legend(names: readonly string[], all: readonly string[] = names): Markup {
  return html`<ul class="legend">${names.map((name) => {
    const at = all.indexOf(name);
    return html`<li>${swatch(categoryFill(at))} <b>${at + 1}</b> ${name}</li>`;
  })}</ul>`;
}

/** What a few fills stand for. */
export function fillLegend(fills: readonly { readonly fill: string; readonly name: string }[]): Markup {
  return html`<ul class="legend">${fills.map(({ fill, name }) => html`<li>${swatch(fill)} ${name}</li>`)}</ul>`;
}

function swatch(fill: string): Markup {
  return html`<svg width="22" height="14" aria-hidden="true" focusable="false"><rect x="0.5" y="0.5" width="21" height="13" fill="${fill}" stroke="var(--edge)"/></svg>`;
}
