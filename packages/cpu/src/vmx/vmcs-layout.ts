import { FieldKind, FieldWidth, kindOf, VMCS_FIELDS, VmcsField, widthOf } from "./vmcs-fields.js";

/** Words at the start of a VMCS region (SDM vol. 3, 25.2); the third is this processor's own. */
export const RegionWord = { RevisionId: 0, AbortIndicator: 1, LaunchState: 2 } as const;
const HEADER_WORDS = 4;

/** What a field belongs to, so that VM entry loads only what VMWRITE changed. */
export const FieldGroup = {
  /** Read or written at every entry and exit. */
  Always: 0,
  Controls: 1,
  ControlRegisters: 2,
  Debug: 4,
  DescriptorTables: 8,
  Segments: 16,
  Sysenter: 32,
  Pat: 64,
  Host: 128,
  All: 255,
} as const;

/** Fields that every entry or exit touches come first, so that they share few cache lines. */
const HOT: readonly number[] = [
  VmcsField.GuestRip,
  VmcsField.GuestRsp,
  VmcsField.GuestRflags,
  VmcsField.GuestInterruptibility,
  VmcsField.GuestActivityState,
  VmcsField.EntryInterruptionInfo,
  VmcsField.EntryExceptionErrorCode,
  VmcsField.ExitReason,
  VmcsField.ExitInstructionLength,
  VmcsField.ExitQualification,
  VmcsField.GuestPhysicalAddress,
  VmcsField.GuestLinearAddress,
  VmcsField.ExitInterruptionInfo,
  VmcsField.ExitInterruptionErrorCode,
  VmcsField.IdtVectoringInfo,
  VmcsField.IdtVectoringErrorCode,
];

/** Word of each field by encoding / 2, counted from the start of the region; -1 where there is no field. */
export const WORD_OF_FIELD: Int16Array = layOut();
/** `FieldGroup` of each field by encoding / 2. */
export const GROUP_OF_FIELD: Int16Array = groupFields();
/** Words in use. */
export const REGION_WORDS: number = WORD_OF_FIELD.reduce((most, word) => Math.max(most, word + 2), 0);

/** Word of a field that exists, for constants. */
export function wordOf(encoding: number): number {
  return WORD_OF_FIELD[encoding >>> 1];
}

function layOut(): Int16Array {
  const words = new Int16Array(0x4000).fill(-1);
  let next = HEADER_WORDS;
  const place = (encoding: number): void => {
    const width = widthOf(encoding);
    const count = width === FieldWidth.Bits64 || width === FieldWidth.Natural ? 2 : 1;
    words[encoding >>> 1] = next;
    next += count;
  };
  HOT.forEach(place);
  for (const kind of [
    FieldKind.GuestState,
    FieldKind.Control,
    FieldKind.ExitInformation,
    FieldKind.HostState,
  ])
    for (const { encoding } of VMCS_FIELDS)
      if (kindOf(encoding) === kind && !HOT.includes(encoding)) place(encoding);
  return words;
}

function groupFields(): Int16Array {
  const groups = new Int16Array(0x4000);
  for (const { encoding, kind, name } of VMCS_FIELDS) {
    if (HOT.includes(encoding)) continue;
    if (kind === FieldKind.Control) groups[encoding >>> 1] = FieldGroup.Controls;
    else if (kind === FieldKind.HostState) groups[encoding >>> 1] = FieldGroup.Host;
    else if (kind === FieldKind.GuestState) groups[encoding >>> 1] = guestGroup(name);
  }
  return groups;
}

function guestGroup(name: string): number {
  if (/^Guest(Cr|Efer|Pdpte)/.test(name)) return FieldGroup.ControlRegisters;
  if (/^Guest(Gdtr|Idtr)/.test(name)) return FieldGroup.DescriptorTables;
  if (/(Selector|Limit|AccessRights|Base)$/.test(name)) return FieldGroup.Segments;
  if (/^GuestD/.test(name)) return FieldGroup.Debug;
  if (/^GuestSysenter/.test(name)) return FieldGroup.Sysenter;
  if (name === "GuestPat") return FieldGroup.Pat;
  if (name === "PreemptionTimer") return FieldGroup.Always;
  return FieldGroup.Controls;
}
