export {
  ApicBase,
  ApicError,
  ApicRegister,
  DeliveryMode,
  IcrField,
  LvtField,
  Shorthand,
  TimerMode,
} from "./apic-register.js";
export { ApicTimer, type ApicTimerSnapshot, type TimerClock } from "./apic-timer.js";
export { type InterruptMessage, InterruptMessages } from "./interrupt-messages.js";
export {
  type ApicBus,
  LocalApic,
  type LocalApicHost,
  type LocalApicOptions,
  type LocalApicSnapshot,
} from "./local-apic.js";
export { type CommandTarget, routeCommand } from "./route-command.js";
