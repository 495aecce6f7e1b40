/*
 * A 32-bit PVH guest that goes through what programs of this kind do at their start, in one of three paging modes
 * (PAGING 0: none, 2: PSE, 3: PAE), and prints a line to port 0xe9 for each step that works. What does not work ends
 * in "failed" and HLT.
 */
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_CODE 0x1b
#define USER_DATA 0x23
#define MAIN_TSS 0x28
#define FAULT_TSS 0x30
#define VECTOR_RETURN 0x20

        .section .note.xen, "a", @note
        .long 4, 4, 18
        .asciz "Xen"
        .long start

        .section .bss
        .balign 4096
hypercalls: .skip 4096
grants: .skip 4096
tables: .skip 5 * 4096
stack: .skip 4096
stack_end:
fault_stack: .skip 1024
fault_stack_end:
user_stack: .skip 256
user_stack_end:

        .section .data
        .balign 8
gdt:    .quad 0
        .quad 0x00cf9b000000ffff
        .quad 0x00cf93000000ffff
        .quad 0x00cffb000000ffff
        .quad 0x00cff3000000ffff
tss_descriptors:
        .quad 0x0000890000000067
        .quad 0x0000890000000067
gdt_end:
gdt_pointer: .word gdt_end - gdt - 1
        .long gdt
idt:    .skip 8 * 48
idt_end:
idt_pointer: .word idt_end - idt - 1
        .long idt
        .balign 8
main_tss: .long 0, stack_end, KERNEL_DATA
        .skip 0x68 - 12
fault_tss: .skip 0x1c
fault_cr3: .long 0, after_double_fault, 2, 0, 0, 0, 0
        .long fault_stack_end, 0, 0, 0
        .long KERNEL_DATA, KERNEL_CODE, KERNEL_DATA, KERNEL_DATA, KERNEL_DATA, KERNEL_DATA, 0, 0x680000

set_version: .long 2
physmap: .word 0x7ff0, 0
        .long 1, 0
physmap_gfn: .long 0
parameter: .word 0x7ff0, 0
parameter_index: .long 0
parameter_value: .quad 0
store_port: .long 0
request: .long 2, 7, 0, 6
        .asciz "domid"
request_end:
poweroff: .long 0

        .section .text
        .globl start
start:  mov $stack_end, %esp
        lgdt gdt_pointer
        ljmp $KERNEL_CODE, $1f
1:      mov $KERNEL_DATA, %eax
        mov %eax, %ds
        mov %eax, %es
        mov %eax, %ss
#if PAGING == 2
        mov $tables, %edi               /* 1024 pages of 4 MiB, open to ring 3 */
        mov $0x87, %eax
1:      stosl
        add $0x400000, %eax
        jnc 1b
        mov $0x10, %eax
        mov %eax, %cr4
        mov $tables, %eax
#elif PAGING == 3
        mov $tables + 4096, %edi        /* 2048 pages of 2 MiB in four tables, and the four pointers to those */
        mov $0x87, %eax
1:      stosl
        movl $0, (%edi)
        add $4, %edi
        add $0x200000, %eax
        jnc 1b
        mov $tables, %edi
        mov $tables + 4096 + 1, %eax
1:      stosl
        movl $0, (%edi)
        add $4, %edi
        add $4096, %eax
        cmp $tables + 5 * 4096 + 1, %eax
        jb 1b
        mov $0x20, %eax
        mov %eax, %cr4
        mov $tables, %eax
#endif
#if PAGING
        mov %eax, %cr3
        mov %eax, fault_cr3
        mov %cr0, %eax
        or $0x80010000, %eax
        mov %eax, %cr0
#endif
        mov $paging_text, %esi
        call print

        /* Descriptors of the two task segments, and the interrupt gates. */
        mov $main_tss, %eax
        mov $tss_descriptors, %edi
        call set_base
        mov $fault_tss, %eax
        mov $tss_descriptors + 8, %edi
        call set_base
        mov $MAIN_TSS, %eax
        ltr %ax
        mov $from_user, %eax
        movw %ax, idt + 8 * VECTOR_RETURN
        movw $KERNEL_CODE, idt + 8 * VECTOR_RETURN + 2
        movw $0xee00, idt + 8 * VECTOR_RETURN + 4
        shr $16, %eax
        movw %ax, idt + 8 * VECTOR_RETURN + 6
        movw $FAULT_TSS, idt + 8 * 8 + 2
        movw $0x8500, idt + 8 * 8 + 4
        lidt idt_pointer

        /* To ring 3 and back. */
        push $USER_DATA
        push $user_stack_end
        push $2
        push $USER_CODE
        push $user
        iret
user:   mov %cs, %ebx
        push %ebx                       /* its own stack works */
        int $VECTOR_RETURN
from_user:
        mov $KERNEL_DATA, %eax          /* IRET to ring 3 emptied them */
        mov %eax, %ds
        mov %eax, %es
        cmpl $USER_CODE, 4(%esp)
        jne fail
        cmp $USER_CODE, %ebx
        jne fail
        mov $ring_text, %esi
        call print

        /* #UD has no gate, and neither has the #NP that follows: a double fault, which is a task of its own. */
        mov $0x5afe, %ebp
        ud2
after_double_fault:
        str %eax
        cmp $FAULT_TSS, %ax
        jne fail
        cmpl $0x5afe, main_tss + 0x3c   /* ebp of the task that was left */
        jne fail
        cmpw $MAIN_TSS, fault_tss       /* and its selector */
        jne fail
        mov $double_text, %esi
        call print

        /* The hypercall page, then grant entries of version 2 and of version 1. */
        mov $0x40000000, %ecx
        mov $hypercalls, %eax
        xor %edx, %edx
        wrmsr
1:      mov $8, %ebx
        mov $set_version, %ecx
        mov $1, %edx
        call hypercalls + 20 * 32
        test %eax, %eax
        jnz fail
        decl set_version
        jnz 1b
        mov $grants, %eax
        shr $12, %eax
        mov %eax, physmap_gfn
        mov $7, %ebx
        mov $physmap, %ecx
        call hypercalls + 12 * 32
        test %eax, %eax
        jnz fail
        cmpl $1, grants                 /* the toolstack's grant of the console ring */
        jne fail
        mov $grant_text, %esi
        call print

        /* Xenstore: where its ring is, a request, the answer. */
        mov $2, %eax
        call get_parameter
        mov %eax, store_port
        mov $1, %eax
        call get_parameter
        mov %eax, %ebp
        shl $12, %ebp
        mov $request, %esi
        mov %ebp, %edi
        mov $request_end - request, %ecx
        rep movsb
        addl $request_end - request, 2052(%ebp)
        mov $4, %ebx
        mov $store_port, %ecx
        call hypercalls + 32 * 32
        test %eax, %eax
        jnz fail
        cmpl $2, 1024(%ebp)             /* XS_READ, with our number */
        jne fail
        cmpl $7, 1024 + 4(%ebp)
        jne fail
        mov $store_text, %esi
        call print
        mov 1024 + 12(%ebp), %ecx
        lea 1024 + 16(%ebp), %esi
        mov $0xe9, %edx
        rep outsb
        mov $'\n', %al
        out %al, %dx
        mov $2, %ebx
        mov $poweroff, %ecx
        call hypercalls + 29 * 32

fail:   mov $fail_text, %esi
        call print
        cli
        hlt

/* eax: a parameter's number, then its value. */
get_parameter:
        mov %eax, parameter_index
        mov $1, %ebx
        mov $parameter, %ecx
        call hypercalls + 34 * 32
        test %eax, %eax
        jnz fail
        mov parameter_value, %eax
        ret

/* Puts the base eax into the descriptor at edi. */
set_base:
        movw %ax, 2(%edi)
        shr $16, %eax
        movb %al, 4(%edi)
        movb %ah, 7(%edi)
        ret

print:  mov $0xe9, %edx
1:      lodsb
        test %al, %al
        jz 1f
        out %al, %dx
        jmp 1b
1:      ret

paging_text: .asciz "paging\n"
ring_text: .asciz "ring 3\n"
double_text: .asciz "double fault\n"
grant_text: .asciz "grant table\n"
store_text: .asciz "domid "
fail_text: .asciz "failed\n"
