export { DIRECTMAP_HI } from "../host-lines.js";
export { EventKind, VirtualizationError, type VirtualizedProcessor } from "../virtualized-processor.js";
export {
  EventInfo,
  General1,
  General2,
  General3,
  NestedControl,
  SvmExitCode,
  TlbControl,
  VIntrBit,
} from "./exit-code.js";
export { IOPM_BYTES, MSRPM_BYTES, msrBit } from "./permission-maps.js";
export { Svm, type SvmOptions, type SvmSnapshot } from "./svm.js";
export { Vmcb } from "./vmcb.js";
export { CleanBit, VMCB_FIELDS, type VmcbField, VmcbOffset, VmcbSegment } from "./vmcb-fields.js";
