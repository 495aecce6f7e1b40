/** A number with thousands separated by spaces and a fixed number of decimals; `-` when there is none. */
export function figure(value: number | null | undefined, decimals = 0): string {
  if (value === null || value === undefined) return "-";
  const [whole, fraction] = value.toFixed(decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, " ");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** A share as a percentage; `-` when there is none. What rounds to zero has no sign. */
export function percent(share: number | null | undefined, decimals = 1): string {
  if (share === null || share === undefined) return "-";
  return `${(share * 100).toFixed(decimals).replace(/^-(?=[0.]*$)/, "")} %`;
}
