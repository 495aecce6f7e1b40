/** A number with thousands set apart; a dash when there is none. */
export function figure(value: number | null | undefined, decimals = 1): string {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(decimals);
  const [whole, fraction] = text.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f").replace("-", "−");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A share as a percentage; a dash when there is none. */
export function percent(share: number | undefined): string {
  return share === undefined ? "–" : `${figure(share * 100)} %`;
}
