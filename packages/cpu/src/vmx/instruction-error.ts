/** VM-instruction error numbers (SDM vol. 3, 31.4). */
export const InstructionError = {
  None: 0,
  VmcallInRoot: 1,
  VmclearInvalidAddress: 2,
  VmclearVmxonPointer: 3,
  VmlaunchNonClear: 4,
  VmresumeNonLaunched: 5,
  VmresumeAfterVmxoff: 6,
  InvalidControlFields: 7,
  InvalidHostState: 8,
  VmptrldInvalidAddress: 9,
  VmptrldVmxonPointer: 10,
  VmptrldRevision: 11,
  UnsupportedField: 12,
  ReadOnlyField: 13,
} as const;
