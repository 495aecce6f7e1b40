import * as consoleIo from "./console-io.js";
import * as control from "./control.js";
import * as eventChannel from "./event-channel.js";
import * as grantTable from "./grant-table.js";
import * as grantUse from "./grant-use.js";
import * as guestArea from "./guest-area.js";
import * as hvm from "./hvm.js";
import * as memory from "./memory.js";
import * as multicall from "./multicall.js";
import type { Operation } from "./operation.js";
import * as physdev from "./physdev.js";
import * as physmap from "./physmap.js";
import * as reservation from "./reservation.js";
import * as resource from "./resource.js";
import * as sched from "./sched.js";
import * as vcpu from "./vcpu.js";
import * as vcpuTimer from "./vcpu-timer.js";
import * as version from "./version.js";
import * as versionText from "./version-text.js";
import * as vmAssist from "./vm-assist.js";

/** Every operation that is modelled; all others answer -ENOSYS, as Xen does for those that it lacks. */
export const OPERATIONS: readonly Operation[] = [
  consoleIo.write,
  consoleIo.read,
  eventChannel.bindInterdomain,
  eventChannel.bindVirq,
  eventChannel.close,
  eventChannel.send,
  eventChannel.status,
  eventChannel.allocUnbound,
  eventChannel.bindIpi,
  eventChannel.bindPirq,
  eventChannel.bindVcpu,
  eventChannel.unmask,
  eventChannel.initControl,
  eventChannel.expandArray,
  eventChannel.setPriority,
  eventChannel.reset,
  grantUse.mapGrant,
  grantUse.unmapGrant,
  grantUse.copyGrant,
  grantUse.swapGrant,
  grantTable.setVersion,
  grantTable.getVersion,
  grantTable.querySize,
  grantTable.setupTable,
  hvm.setParam,
  hvm.getParam,
  hvm.flushTlbs,
  hvm.getTime,
  hvm.getMemType,
  hvm.setEvtchnUpcallVector,
  physmap.addToPhysmap,
  physmap.addToPhysmapBatch,
  memory.memoryMap,
  physmap.removeFromPhysmap,
  resource.acquireResource,
  reservation.increaseReservation,
  reservation.decreaseReservation,
  reservation.populatePhysmap,
  sched.yieldOperation,
  sched.block,
  sched.shutdown,
  sched.shutdownCode,
  sched.poll,
  sched.watchdog,
  sched.pinOverride,
  vcpu.isUp,
  vcpu.initialise,
  vcpu.up,
  vcpu.down,
  vcpu.sendNmi,
  vcpu.getRunstateInfo,
  vcpu.getPhysid,
  guestArea.registerVcpuInfo,
  guestArea.registerRunstateMemoryArea,
  guestArea.registerRunstatePhysArea,
  guestArea.registerVcpuTimeMemoryArea,
  guestArea.registerVcpuTimePhysArea,
  vcpuTimer.setPeriodicTimer,
  vcpuTimer.stopPeriodicTimer,
  vcpuTimer.setSingleshotTimer,
  vcpuTimer.stopSingleshotTimer,
  vcpuTimer.setTimerOp,
  multicall.multicall,
  versionText.platformParameters,
  versionText.buildId,
  versionText.extraversion2,
  versionText.capabilities2,
  versionText.changeset2,
  versionText.commandline2,
  vmAssist.set,
  physdev.mapPirq,
  physdev.unmapPirq,
  control.platformOp,
  control.sysctl,
  control.domctl,
  version.version,
  version.getFeatures,
  version.extraversion,
  version.compileInfo,
  version.capabilities,
  version.changeset,
  version.pagesize,
  version.guestHandle,
  version.commandline,
];

/** Under which others go on, as their continuations name them. */
export const CONTINUED_OPERATIONS: readonly Operation[] = [eventChannel.resetContinued];

/**
 * Operations by hypercall and sub-operation, for an interface's dispatch: `table[hypercall]?.[subop]`.
 * @param fastabi only those that FastABI dispatches
 */
export function operationTable(
  operations: readonly Operation[] = OPERATIONS,
  fastabi = false,
): readonly (readonly (Operation | undefined)[] | undefined)[] {
  const table: (Operation | undefined)[][] = [];
  for (const operation of operations) {
    const { hypercall, subop, traditionalOnly } = operation.descriptor;
    if (fastabi && traditionalOnly) continue;
    table[hypercall] ??= [];
    table[hypercall][subop] = operation;
  }
  return table;
}
