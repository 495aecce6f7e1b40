/*
 * Calls every FastABI operation through its generated stub and checks results and outputs; with the fixed memory layout it
 * finds shared_info and its grant table by the memory map alone. Prints what is wrong, or how much was right. Needs a
 * FastABI domain of two vCPUs. Rebuild with: npm run guests
 */
#include "console.h"
#include "guest.h"
#include "page-tables.h"
#include "processor.h"
#include "start-info.h"
#include "xen.h"

#define EPERM 1
#define ENOENT 2
#define EEXIST 17
#define EINVAL 22
#define ENOSYS 38
#define EOPNOTSUPP 95
#define X87_FIP_WIDTH 36

#define MEMMAP_SHARED_INFO 0xf0000001u
#define MEMMAP_GRANT_TABLE 0xf0000002u
#define MEMMAP_GRANT_STATUS 0xf0000003u
#define MEMMAP_FOREIGN 0xf0000004u
#define EVTCHN_PENDING 2048 /* of struct shared_info */
#define PRESENT_WRITE 3
#define LARGE_LEAF 0x83

struct memmap_entry {
  uint64_t address, size;
  uint32_t type, reserved;
};

struct e820_entry {
  uint64_t address, size;
  uint32_t type;
} __attribute__((packed));

struct page {
  uint8_t bytes[4096];
} __attribute__((aligned(4096)));

static struct page pages[10];
static struct e820_entry map[16] __attribute__((aligned(4096)));
static unsigned int right, wrong;

static void check(int holds, const char *what) {
  if (holds) {
    right++;
    return;
  }
  wrong++;
  print("fastabi-check: wrong: ");
  print(what);
  print("\n");
}

#define CHECK(condition) check((condition), #condition)
/* The call's result is this. */
#define GIVES(result, call) check((call) == (result), #call " gives " #result)

static uint64_t frame(int page) { return physical(&pages[page]) >> 12; }

static void event_channels(void) {
  struct evtchn_alloc_unbound unbound = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
  struct evtchn_bind_interdomain interdomain = {.remote_dom = DOMID_SELF};
  struct evtchn_bind_virq virq = {.virq = 0, .vcpu = 0};
  struct evtchn_bind_ipi ipi = {.vcpu = 1};
  struct evtchn_bind_pirq pirq = {.pirq = 9};
  struct evtchn_status status = {.dom = DOMID_SELF};
  struct evtchn_init_control control = {.control_gfn = frame(0), .vcpu = 0};
  struct evtchn_expand_array array = {.array_gfn = frame(1)};
  struct evtchn_set_priority priority = {.priority = 3};
  struct evtchn_bind_vcpu move = {.vcpu = 1};

  GIVES(0, hw_event_channel_alloc_unbound_fastabi(&unbound));
  interdomain.remote_port = unbound.port;
  GIVES(0, hw_event_channel_bind_interdomain_fastabi(&interdomain));
  GIVES(0, hw_event_channel_bind_virq_fastabi(&virq));
  GIVES(-EEXIST, hw_event_channel_bind_virq_fastabi(&virq));
  GIVES(0, hw_event_channel_bind_ipi_fastabi(&ipi));
  GIVES(0, hw_event_channel_bind_pirq_fastabi(&pirq));
  CHECK(unbound.port == 3 && interdomain.local_port == 4 && virq.port == 5 && ipi.port == 6 && pirq.port == 7);
  status.port = unbound.port;
  GIVES(0, hw_event_channel_status_fastabi(&status));
  CHECK(status.status == EVTCHNSTAT_INTERDOMAIN && status.u.interdomain.port == interdomain.local_port);
  status.port = pirq.port;
  GIVES(0, hw_event_channel_status_fastabi(&status));
  CHECK(status.status == EVTCHNSTAT_PIRQ && status.u.pirq == 9);
  move.port = pirq.port;
  GIVES(0, hw_event_channel_bind_vcpu_fastabi(&move));
  GIVES(0, hw_event_channel_status_fastabi(&status));
  CHECK(status.vcpu == 1);
  struct evtchn_send send = {.port = interdomain.local_port};
  GIVES(0, hw_event_channel_send_fastabi(&send));
  struct evtchn_unmask unmask = {.port = unbound.port};
  GIVES(0, hw_event_channel_unmask_fastabi(&unmask));
  priority.port = unbound.port;
  GIVES(-ENOSYS, hw_event_channel_set_priority_fastabi(&priority));
  GIVES(-EOPNOTSUPP, hw_event_channel_expand_array_fastabi(&array));
  /* An event waits: neither sleeps. */
  struct sched_poll poll = {.ports = &unbound.port, .nr_ports = 1, .timeout = 0};
  GIVES(0, hw_sched_block_fastabi());
  GIVES(0, hw_sched_poll_fastabi(&poll));
  GIVES(0, hw_event_channel_init_control_fastabi(&control));
  CHECK(control.link_bits == EVTCHN_FIFO_LINK_BITS);
  GIVES(0, hw_event_channel_expand_array_fastabi(&array));
  GIVES(0, hw_event_channel_set_priority_fastabi(&priority));
  struct evtchn_close close = {.port = pirq.port};
  GIVES(0, hw_event_channel_close_fastabi(&close));
  GIVES(-EINVAL, hw_event_channel_close_fastabi(&close));
}

static void grant_table(void) {
  struct gnttab_query_size size = {.dom = DOMID_SELF};
  struct gnttab_get_version get = {.dom = DOMID_SELF};
  struct gnttab_set_version set = {.version = 2};
  struct gnttab_map_grant_ref map_ref = {
      .dom = 77, .host_addr = physical(&pages[2]), .flags = GNTMAP_HOST_MAP, .ref = 8};
  struct gnttab_unmap_grant_ref unmap_ref = {.host_addr = physical(&pages[2]), .handle = 12345};

  GIVES(0, hw_grant_table_query_size_fastabi(&size));
  CHECK(size.nr_frames >= 1 && size.max_nr_frames == 64);
  GIVES(0, hw_grant_table_get_version_fastabi(&get));
  CHECK(get.version == 1);
  GIVES(0, hw_grant_table_set_version_fastabi(&set));
  GIVES(0, hw_grant_table_get_version_fastabi(&get));
  CHECK(get.version == 2);
  set.version = 3;
  GIVES(-EINVAL, hw_grant_table_set_version_fastabi(&set));
  /* Of a domain that there is not, and of a mapping that there is not. */
  GIVES(0, hw_grant_table_map_grant_ref_fastabi(&map_ref));
  CHECK(map_ref.status == GNTST_BAD_DOMAIN);
  GIVES(0, hw_grant_table_unmap_grant_ref_fastabi(&unmap_ref));
  CHECK(unmap_ref.status == GNTST_BAD_HANDLE);
}

static void hvm(void) {
  struct xen_hvm_param param = {.domid = DOMID_SELF, .index = X87_FIP_WIDTH, .value = 8};
  struct xen_hvm_get_time before, after;
  struct xen_hvm_get_mem_type type = {.domid = DOMID_SELF, .pfn = frame(0)};
  struct xen_hvm_evtchn_upcall_vector vector = {.vcpu = 1, .vector = 0x50};

  GIVES(0, hw_hvm_set_param_fastabi(&param));
  param.value = 0;
  GIVES(0, hw_hvm_get_param_fastabi(&param));
  CHECK(param.value == 8);
  param.index = HVM_PARAM_CONSOLE_PFN;
  GIVES(-EPERM, hw_hvm_set_param_fastabi(&param));
  GIVES(0, hw_hvm_flush_tlbs_fastabi());
  GIVES(0, hw_hvm_get_time_fastabi(&before));
  GIVES(0, hw_hvm_get_time_fastabi(&after));
  CHECK(after.now > before.now);
  GIVES(0, hw_hvm_get_mem_type_fastabi(&type));
  CHECK(type.mem_type == HVMMEM_RAM_RW);
  type.pfn = 0xfd000; /* between low RAM and the special frames */
  GIVES(0, hw_hvm_get_mem_type_fastabi(&type));
  CHECK(type.mem_type == HVMMEM_MMIO_DM);
  GIVES(0, hw_hvm_set_evtchn_upcall_vector_fastabi(&vector));
}

static void memory(void) {
  struct xen_memory_map memory_map = {.nr_entries = 16, .buffer = map};
  struct xen_add_to_physmap add = {.domid = DOMID_SELF, .space = XENMAPSPACE_GMFN, .idx = frame(2), .gpfn = frame(3)};
  struct xen_remove_from_physmap removal = {.domid = DOMID_SELF, .gpfn = frame(3)};

  GIVES(0, hw_memory_memory_map_fastabi(&memory_map));
  CHECK(memory_map.nr_entries >= 2 && map[0].address == 0 && map[0].type == 1);
  GIVES(0, hw_memory_add_to_physmap_fastabi(&add));
  GIVES(0, hw_memory_remove_from_physmap_fastabi(&removal));
  GIVES(-ENOENT, hw_memory_remove_from_physmap_fastabi(&removal));
}

static void vcpus(void) {
  struct vcpu_hvm_context *context = (struct vcpu_hvm_context *)&pages[4];
  struct vcpu_runstate_info runstate;
  struct vcpu_set_periodic_timer periodic = {.period_ns = 1000000000};
  struct vcpu_set_singleshot_timer singleshot = {.timeout_abs_ns = 1000000000000000};
  struct vcpu_register_vcpu_info info = {.mfn = frame(5), .offset = 64};
  struct vcpu_register_time_memory_area area = {.addr.p = physical(&pages[6])};
  struct vcpu_get_physid physid;

  GIVES(1, hw_vcpu_is_up_fastabi(0));
  GIVES(0, hw_vcpu_is_up_fastabi(1));
  GIVES(-ENOENT, hw_vcpu_is_up_fastabi(2));
  GIVES(-EINVAL, hw_vcpu_up_fastabi(1));
  context->mode = 99;
  GIVES(-EINVAL, hw_vcpu_initialise_fastabi(1, context));
  GIVES(-EEXIST, hw_vcpu_initialise_fastabi(0, context));
  GIVES(0, hw_vcpu_down_fastabi(1));
  GIVES(0, hw_vcpu_get_runstate_info_fastabi(0, &runstate));
  CHECK(runstate.state == RUNSTATE_RUNNING);
  GIVES(0, hw_vcpu_get_runstate_info_fastabi(1, &runstate));
  CHECK(runstate.state == RUNSTATE_OFFLINE && runstate.time[RUNSTATE_OFFLINE] > 0);
  GIVES(0, hw_vcpu_set_periodic_timer_fastabi(0, &periodic));
  GIVES(0, hw_vcpu_stop_periodic_timer_fastabi(0));
  GIVES(0, hw_vcpu_set_singleshot_timer_fastabi(0, &singleshot));
  GIVES(-EINVAL, hw_vcpu_set_singleshot_timer_fastabi(1, &singleshot));
  GIVES(0, hw_vcpu_stop_singleshot_timer_fastabi(0));
  GIVES(0, hw_vcpu_register_vcpu_info_fastabi(1, &info));
  GIVES(-EINVAL, hw_vcpu_get_physid_fastabi(0, &physid));
  volatile struct vcpu_runstate_info *copy = (struct vcpu_runstate_info *)&pages[6];
  copy->state = RUNSTATE_OFFLINE;
  GIVES(0, hw_vcpu_register_runstate_phys_area_fastabi(0, &area));
  CHECK(copy->state == RUNSTATE_RUNNING);
  area.addr.p = physical(&pages[7]);
  GIVES(0, hw_vcpu_register_vcpu_time_phys_area_fastabi(0, &area));
  CHECK(((volatile uint32_t *)&pages[7])[6] > 0); /* tsc_to_system_mul */
  GIVES(0, hw_vcpu_send_nmi_fastabi(1));
}

static void sched_and_version(void) {
  struct sched_watchdog dog = {.id = 0, .timeout = 1000};
  struct sched_pin_override pin = {.pcpu = 0};
  struct sched_shutdown code = {.reason = SHUTDOWN_REBOOT};
  struct xen_feature_info features = {.submap_idx = 0};

  GIVES(0, hw_sched_yield_fastabi());
  GIVES(1, hw_sched_watchdog_fastabi(&dog));
  dog.id = 1;
  dog.timeout = 0;
  GIVES(0, hw_sched_watchdog_fastabi(&dog));
  GIVES(-EPERM, hw_sched_pin_override_fastabi(&pin));
  GIVES(0, hw_sched_shutdown_code_fastabi(&code));
  CHECK(hw_version_version_fastabi() >> 16 == 4);
  GIVES(0, hw_version_get_features_fastabi(&features));
  CHECK(features.submap >> XENFEAT_HVM_CALLBACK_VECTOR & 1);
}

/* Maps the 2 MiB at a guest-physical address one to one. */
static volatile uint8_t *see(uint64_t address) {
  extern uint64_t page_tables_l4[512];
  static uint64_t leaves[512] __attribute__((aligned(4096)));
  uint64_t *l3 = (uint64_t *)(page_tables_l4[0] & ~(uint64_t)4095); /* low memory is mapped one to one */
  leaves[address >> 21 & 511] = (address & ~(uint64_t)0x1fffff) | LARGE_LEAF;
  l3[address >> 30 & 511] = physical(leaves) | PRESENT_WRITE;
  write_cr3(physical(page_tables_l4));
  return (volatile uint8_t *)address;
}

/* Nothing here asks Xen for a mapping. */
static void fixed_layout(const struct hvm_start_info *info) {
  const struct memmap_entry *entries = (const struct memmap_entry *)info->memmap_paddr;
  const struct memmap_entry *regions[5] = {0};
  for (uint32_t i = 0; i < info->memmap_entries; i++)
    if (entries[i].type >= MEMMAP_SHARED_INFO && entries[i].type <= MEMMAP_FOREIGN)
      regions[entries[i].type - MEMMAP_SHARED_INFO + 1] = &entries[i];
  if (!regions[1]) return;
  CHECK(regions[2] && regions[3] && regions[4]);
  CHECK(regions[1]->address >= 1ull << 32 && (regions[1]->address & ((1 << 30) - 1)) == 0);
  CHECK(regions[1]->size == 4096 && regions[2]->size == 64 * 4096 && regions[3]->size == 8 * 4096);
  CHECK(regions[4]->size == 512u << 20 && regions[4]->address == regions[3]->address + regions[3]->size);

  volatile uint8_t *shared_info = see(regions[1]->address);
  struct evtchn_bind_ipi ipi = {.vcpu = 0};
  GIVES(0, hw_event_channel_bind_ipi_fastabi(&ipi));
  CHECK((shared_info[EVTCHN_PENDING + ipi.port / 8] >> ipi.port % 8 & 1) == 0);
  struct evtchn_send send = {.port = ipi.port};
  GIVES(0, hw_event_channel_send_fastabi(&send));
  CHECK((shared_info[EVTCHN_PENDING + ipi.port / 8] >> ipi.port % 8 & 1) == 1);
  struct evtchn_close close = {.port = ipi.port};
  GIVES(0, hw_event_channel_close_fastabi(&close));

  volatile uint32_t *grants = (volatile uint32_t *)see(regions[2]->address);
  uint64_t console;
  GIVES(0, xen_get_param(XEN_PARAM_CONSOLE_PFN, &console));
  CHECK(grants[0] == 1 && grants[1] == console); /* reserved for dom0: permit_access, domain 0 */
  volatile uint32_t *last = (volatile uint32_t *)see(regions[2]->address + 63 * 4096);
  last[1022] = 0x12345678;
  CHECK(last[1022] == 0x12345678);
  struct gnttab_query_size size = {.dom = DOMID_SELF};
  GIVES(0, hw_grant_table_query_size_fastabi(&size));
  CHECK(size.nr_frames == 64);
  print("fastabi-check: fixed layout at ");
  print_hex(regions[1]->address);
  print("\n");
}

void guest_main(uint64_t start_info) {
  set_start_info(start_info);
  if (xen_find()) halt_forever();
  console_init();
  if (xen_abi != HW_ABI_FASTABI) {
    print("fastabi-check: this domain has no FastABI\n");
    xen_shutdown(SHUTDOWN_CRASH);
  }
  fixed_layout((const struct hvm_start_info *)start_info);
  event_channels();
  grant_table();
  hvm();
  memory();
  vcpus();
  sched_and_version();
  print("fastabi-check: right=");
  print_decimal(right);
  print(" wrong=");
  print_decimal(wrong);
  print("\n");
  console_flush();
  struct evtchn_reset reset = {.dom = DOMID_SELF};
  if (hw_event_channel_reset_fastabi(&reset) == 0) xen_shutdown(SHUTDOWN_POWEROFF); /* the code says reboot */
  xen_shutdown(SHUTDOWN_CRASH);
}
