import type { Quantity } from "../profile.js";
import { estimate } from "../profiles/quantity.js";
import type { ProfileEstimate } from "../resolve-profile.js";

const WINDOW =
  "the VMRUN window of an SEV-ES guest on an EPYC of 2020 takes 1,344-1,376 cycles (M. Roth, lkml 2020-12), less the 974 that VMRUN + #VMEXIT of a plain guest are taken for here, half of it each way";

/**
 * What encrypted guests take more in hardware, on Zen 3 and Zen 4 alike. Delivery of #VC costs what delivery of any
 * exception does (`timing.interruptDelivery`), and IRET what it costs elsewhere.
 */
export const SEV_COSTS: Readonly<Record<"encryptedEntry" | "encryptedExit", Quantity>> = {
  encryptedEntry: estimate(
    193,
    "cycles",
    [0, 1500],
    `VMRUN of an SEV-ES guest loads and checks its whole register state from the VMSA: ${WINDOW}; upper end: all that a VMMCALL takes more in an SEV-SNP guest under KVM (6,200 cycles: Misono et al. 2025) and #VC, GHCB and software leave unexplained`,
  ),
  encryptedExit: estimate(193, "cycles", [0, 1500], `#VMEXIT saves that state: ${WINDOW}`),
};

const NOT_MEASURED =
  "nobody has published a figure: microcode that checks an entry and changes it; the page walk and the references to the entry come on top";

/** What the instructions of SEV-SNP take, their references to tables and reverse map apart. */
export const SNP_COSTS: Readonly<Record<"pvalidate" | "rmpadjust" | "rmpupdate" | "psmash", Quantity>> = {
  pvalidate: estimate(500, "cycles", [100, 3000], `PVALIDATE: ${NOT_MEASURED}`),
  rmpadjust: estimate(500, "cycles", [100, 3000], `RMPADJUST: ${NOT_MEASURED}`),
  rmpupdate: estimate(
    1000,
    "cycles",
    [300, 6000],
    `RMPUPDATE: ${NOT_MEASURED}; other processors' translations of the page go as well`,
  ),
  psmash: estimate(
    2000,
    "cycles",
    [500, 10000],
    "PSMASH writes 512 entries, 8 KiB of the reverse map: as RMPUPDATE, and 128 lines at up to 64 cycles each",
  ),
};

/** Those numbers as results list them. @param isSecure an SEV-SNP guest's, else an SEV-ES guest's */
export function sevEstimates(isSecure = false): ProfileEstimate[] {
  return Object.entries(isSecure ? { ...SEV_COSTS, ...SNP_COSTS } : SEV_COSTS).map(
    ([name, { value, unit, range, source }]) => ({
      key: `sev.${name}`,
      value,
      unit,
      range: range ?? [value, value],
      source,
    }),
  );
}
