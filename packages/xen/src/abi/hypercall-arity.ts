/** Register arguments by hypercall number, as `hypercall-defs` declares its handlers. */
const ARGUMENTS: Readonly<Record<number, number>> = {
  7: 1, // platform_op
  12: 2, // memory_op
  13: 2, // multicall
  15: 1, // set_timer_op
  17: 2, // xen_version
  18: 3, // console_io
  20: 3, // grant_table_op
  21: 2, // vm_assist
  24: 3, // vcpu_op
  26: 4, // mmuext_op
  27: 1, // xsm_op
  29: 2, // sched_op
  32: 2, // event_channel_op
  33: 2, // physdev_op
  34: 2, // hvm_op
  35: 1, // sysctl
  36: 1, // domctl
  39: 5, // argo_op
  40: 2, // xenpmu_op
  41: 3, // dm_op
  42: 5, // hypfs_op
};
const SET_TIMER_OP = 15;

/**
 * How many argument registers a hypercall has.
 * @param compat the caller is not in 64-bit mode, where set_timer_op's argument takes two
 */
export function hypercallArity(number: number, compat: boolean): number {
  if (compat && number === SET_TIMER_OP) return 2;
  return ARGUMENTS[number] ?? 0;
}
