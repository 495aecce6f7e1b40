/** Kinds of fault status code, without the level in bits 1:0 (Arm ARM DDI 0487, ESR_ELx.DFSC). */
export const FaultStatus = {
  AddressSize: 0x00,
  Translation: 0x04,
  AccessFlag: 0x08,
  Permission: 0x0c,
  /** Synchronous external abort on a table walk: no RAM answers where a table should be. */
  ExternalOnWalk: 0x14,
  /** The translation is complete, but no RAM answers at that machine frame; levels do not apply. */
  External: 0x10,
} as const;

/**
 * Why the latest translation failed. One mutable object a {@link ArmMmu}: read it at once, the next fault overwrites it.
 */
export class ArmFault {
  /** Fault status code: a {@link FaultStatus} with the level in its low bits. */
  status = 0;
  /** The fault is stage 2's. */
  stage2 = false;
  /** A stage 2 fault on the access to a stage 1 table. */
  onWalk = false;
  /** For stage 2 faults: the intermediate physical frame. */
  ipaFrame = 0;
}

/** Fields of PAR_EL1 (D17). */
export const Par = {
  /** F: the translation failed. */
  Fault: 0x1n,
  /** FST, bits 6:1. */
  StatusShift: 1n,
  /** PTW: a stage 2 fault on a stage 1 table walk. */
  OnWalk: 0x100n,
  /** S: the fault is stage 2's. */
  Stage2: 0x200n,
  Reserved1: 0x800n,
  /** SH: inner shareable, as all memory is here. */
  InnerShareable: 0x180n,
  /** ATTR: normal memory, write-back. */
  WriteBack: 0xff00000000000000n,
} as const;

/** PAR_EL1 after a translation that succeeded. */
export function parOfFrame(frame: number): bigint {
  return Par.WriteBack | (BigInt(frame) << 12n) | Par.Reserved1 | Par.InnerShareable;
}

/** PAR_EL1 after one that failed. */
export function parOfFault({ status, stage2, onWalk }: ArmFault): bigint {
  return (
    Par.Fault |
    (BigInt(status) << Par.StatusShift) |
    (onWalk ? Par.OnWalk : 0n) |
    (stage2 ? Par.Stage2 : 0n) |
    Par.Reserved1
  );
}

/** Machine frame in a PAR_EL1 that says success, or -1. */
export function frameOfPar(par: bigint): number {
  return (par & Par.Fault) !== 0n ? -1 : Number((par >> 12n) & 0xfffffffffn);
}

/** A fault's name as manuals write it: `stage 2 translation fault, level 3`. */
export function describeFault({ status, stage2, onWalk }: ArmFault): string {
  const stage = `stage ${stage2 ? 2 : 1}`;
  if (status === FaultStatus.External) return "external abort";
  const name = STATUS_NAMES[status >> 2] ?? `fault 0x${status.toString(16)}`;
  return `${stage} ${name}, level ${status & 3}${onWalk ? ", on a stage 1 table walk" : ""}`;
}

const STATUS_NAMES: Readonly<Record<number, string>> = {
  [FaultStatus.AddressSize >> 2]: "address size fault",
  [FaultStatus.Translation >> 2]: "translation fault",
  [FaultStatus.AccessFlag >> 2]: "access flag fault",
  [FaultStatus.Permission >> 2]: "permission fault",
  [FaultStatus.ExternalOnWalk >> 2]: "external abort",
};
