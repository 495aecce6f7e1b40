/*
 * From the PVH entry (32-bit protected mode, paging off, EBX = physical address of hvm_start_info) to guest_main() in
 * 64-bit mode. The image is mapped twice: low memory one to one for the switch and for what the toolstack placed there,
 * and the image alone at VIRT_BASE + physical, so that a linear address never equals a physical one.
 */
#include "layout.h"

#define PRESENT_WRITE 0x003
#define LARGE_LEAF    0x083

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18                  /* name bytes, value bytes, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long PHYS(start32)

	.section .text.start, "ax", @progbits
	.code32
	.globl start32
start32:
	cld
	movl %ebx, PHYS(start_info_address)
	movl $PHYS(stack_top), %esp

	movl $PHYS(l3_low) + PRESENT_WRITE, PHYS(page_tables_l4)
	movl $PHYS(l3_high) + PRESENT_WRITE, PHYS(page_tables_l4) + 511 * 8
	movl $PHYS(page_tables_l2_high) + PRESENT_WRITE, PHYS(l3_high) + 510 * 8

	movl $PHYS(l3_low), %edi        /* four directories for the low 4 GiB */
	movl $PHYS(l2_low) + PRESENT_WRITE, %eax
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	decl %ecx
	jnz 1b

	movl $PHYS(l2_low), %edi        /* 2 MiB leaves, one to one */
	movl $LARGE_LEAF, %eax
	movl $4 * 512, %ecx
2:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	decl %ecx
	jnz 2b

	movl $PHYS(page_tables_l1), %edi /* the image in 4 KiB leaves; use_large_leaves() can change that */
	movl $IMAGE_PHYS + PRESENT_WRITE, %eax
	movl $IMAGE_REGIONS * 512, %ecx
3:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	decl %ecx
	jnz 3b

	movl $PHYS(page_tables_l2_high) + IMAGE_FIRST_REGION * 8, %edi
	movl $PHYS(page_tables_l1) + PRESENT_WRITE, %eax
	movl $IMAGE_REGIONS, %ecx
4:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	decl %ecx
	jnz 4b

	movl $0x20, %eax                /* CR4.PAE */
	movl %eax, %cr4
	movl $PHYS(page_tables_l4), %eax
	movl %eax, %cr3

	movl $0x80000001, %eax
	cpuid
	movl %edx, %edi
	movl $0xc0000080, %ecx          /* EFER: long mode, and no-execute where the processor has it */
	rdmsr
	orl $0x100, %eax
	testl $1 << 20, %edi
	jz 5f
	orl $0x800, %eax
5:	wrmsr

	movl %cr0, %eax
	orl $0x80010000, %eax           /* CR0.PG | WP */
	movl %eax, %cr0
	lgdt PHYS(gdt_pointer_low)
	ljmp $8, $PHYS(start64)

	.code64
start64:
	movq $high_half, %rax
	jmp *%rax
high_half:
	lgdt gdt_pointer
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq $stack_top, %rsp
	xorl %ebp, %ebp
	movl start_info_address, %edi
	call guest_main
	.globl halt_forever
halt_forever:
	cli
	hlt
	jmp halt_forever

	/* Exception entries: a uniform frame (error code or zero, vector) for exception_entry. */
	.section .text, "ax", @progbits
	.balign 16
	.globl exception_stubs
exception_stubs:
	.set vector, 0
	.rept 32
	.balign 16
	.ifeq vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
	pushq $0
	.endif
	pushq $vector
	jmp exception_entry
	.set vector, vector + 1
	.endr

	.balign 16
exception_entry:
	cld
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rbx
	pushq %rbp
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %rdi
	movq %rsp, %rbp
	andq $-16, %rsp
	call handle_exception
	movq %rbp, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rbp
	popq %rbx
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

	.section .rodata, "a", @progbits
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff        /* 0x08: 64-bit code */
	.quad 0x00cf93000000ffff        /* 0x10: data */
gdt_end:
gdt_pointer_low:
	.word gdt_end - gdt - 1
	.long PHYS(gdt)
	.balign 2
gdt_pointer:
	.word gdt_end - gdt - 1
	.quad gdt

	.section .bss, "aw", @nobits
	.balign 4096
	.globl page_tables_l4, page_tables_l2_high, page_tables_l1
page_tables_l4:		.skip 4096
l3_low:			.skip 4096
l3_high:		.skip 4096
l2_low:			.skip 4 * 4096
page_tables_l2_high:	.skip 4096
page_tables_l1:		.skip IMAGE_REGIONS * 4096
	/* Xen fills it on the write of the hypercall-page MSR; it also has to be executable. */
	.globl hypercall_page
hypercall_page:	.skip 4096
	.skip 16384
stack_top:
	.balign 8
start_info_address:	.skip 8

	.section .note.GNU-stack, "", @progbits
