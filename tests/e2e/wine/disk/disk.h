/* sluicetest.sys: both ends of a disk's driver stack, for testing what stands
 * between them.
 *
 *   \\.\SluiceTestDisk<n>   FDO, class role: class.c transfer.c raw.c sequence.c
 *   (the filter under test)
 *   PDO over an image file  port role: port.c check.c scsi.c pnp.c
 *
 * Or the port role is the driver's under test as well, as the function driver
 * of an adapter on the bus of adapter.c.
 *
 * control.c makes and steers the disks; image.c is the medium.
 */
#ifndef DISK_H
#define DISK_H

#include <ntddk.h>
#include <ntddstor.h>
#include <srb.h>
#include "srbx.h"
#include "interface.h"

#define TAG 0x64546c53 /* "SlTd" */
#define MAX_DISKS 8
#define MAX_PATTERNS 4
#define SENSE_LENGTH 18

/* mingw inlines these as accesses to CR8, which user mode does not have; the
 * kernel exports them as well. */
KIRQL NTAPI raise_irql(KIRQL) __asm__("KfRaiseIrql");
VOID NTAPI lower_irql(KIRQL) __asm__("KeLowerIrql");
KIRQL NTAPI current_irql(VOID) __asm__("KeGetCurrentIrql");

enum role { ROLE_CONTROL, ROLE_PORT, ROLE_CLASS, ROLE_ROOT };

typedef struct worker {
    PVOID thread;
    KEVENT wake;
    volatile LONG stop;
} worker;

struct disk;
typedef struct extension { /* of each of our device objects */
    enum role role;
    struct disk *disk;
} extension;

/* One SRB of the class driver under way: a piece of a read or write, a raw
 * request, or one of the class driver's own. */
typedef struct packet {
    LIST_ENTRY entry;      /* in disk->packets */
    struct disk *disk;
    LONG references;       /* the I/O itself, and who is cancelling it; under packets_lock */
    PIRP irp;
    PMDL mdl;
    PIRP master;           /* the user's IRP, or NULL */
    struct transfer *transfer;
    KEVENT *done;          /* synchronous requests */
    PUCHAR buffer;         /* raw and own requests: their data */
    ULONG length;
    ULONGLONG checksum;    /* of the data to be written */
    BOOLEAN write, extended;
    ULONG missing;         /* RAW_NO_MDL, RAW_NULL_SRB, RAW_READ_WRITE_IRP: what the test wants wrong */
    ULONG retries;
    PUCHAR cdb;            /* in the SRB, */
    UCHAR cdb_sent[32];    /* and what it was when sent */
    ULONG cdb_length;
    PVOID data_buffer;     /* the SRB's, when sent */
    NTSTATUS status;
    ULONG_PTR information;
    UCHAR sense[32];
    /* The SRB itself; room for a BTL8 address and a 32-byte CDB behind it. */
    union { SCSI_REQUEST_BLOCK legacy; srbx extended; UCHAR bytes[128 + 16 + 64]; } srb;
} packet;

typedef struct disk {
    ULONG number;
    PDEVICE_OBJECT pdo, fdo, lower; /* lower: what the class driver sends to */
    BOOLEAN adopted;       /* the PDO is a unit of the driver under test; we hold a reference */
    UNICODE_STRING name, link;
    WCHAR name_text[40], link_text[40];

    /* the medium */
    HANDLE image;
    ULONGLONG capacity;    /* bytes */
    ULONG sector_size, max_transfer, alignment_mask, flags;

    /* port role; guarded by lock */
    KSPIN_LOCK lock;
    LIST_ENTRY queue, done;
    ULONG done_count;
    worker io, completer;
    test_port_mode mode;
    ULONG random;
    BOOLEAN gone, frozen, locked, claimed, started;
    test_statistics seen;
    UCHAR patterns[MAX_PATTERNS][16];
    ULONG pattern_count;

    /* class role; packets guarded by packets_lock */
    KSPIN_LOCK packets_lock;
    LIST_ENTRY packets, retry;
    worker class_worker;
    test_class_mode class_mode;
    volatile LONG programs; /* I/O controls on their way down: a filter that sends a program's write has no flags to take over */
    BOOLEAN release_queue; /* the class worker is to send RELEASE_QUEUE */
    ULONGLONG class_capacity;
    ULONG class_sector_size;
    BOOLEAN adapter_extended;
    ULONG adapter_max_transfer;
} disk;

/* What a request block of either kind says, after check.c has believed it. */
typedef struct request {
    PVOID srb;
    BOOLEAN extended;
    ULONG function, flags;
    PUCHAR cdb;
    ULONG cdb_length;
    PUCHAR sense;
    PUCHAR sense_length;   /* the field, for writing back */
    PUCHAR scsi_status;
    PULONG length;         /* DataTransferLength, for writing back */
    PUCHAR buffer;         /* the SRB's DataBuffer: a handle to the data, not an address */
    PUCHAR data;           /* its system address */
} request;

/* A read or write CDB, decoded. */
typedef struct extent { BOOLEAN read, write, fua; ULONGLONG lba; ULONG blocks; } extent;

/* control.c */
extern PDRIVER_OBJECT own_driver;
NTSTATUS control_dispatch(PIRP irp, PIO_STACK_LOCATION at);
NTSTATUS control_start(void);
void control_stop(void);
disk *disk_number(ULONG n);
disk *disk_on(PDEVICE_OBJECT pdo);
NTSTATUS disk_adopt(PDEVICE_OBJECT pdo, disk **out);
void disk_free(disk *d);
void add_driver(PDEVICE_OBJECT pdo, const WCHAR *service, test_created *out);
NTSTATUS finish(PIRP irp, NTSTATUS status, ULONG_PTR information);
NTSTATUS worker_start(worker *w, PKSTART_ROUTINE routine, PVOID context);
void worker_stop(worker *w);
void worker_wait(worker *w, LONG milliseconds); /* negative: for ever */

/* log.c */
void complain(disk *d, const char *who, const char *format, ...);
ULONG log_copy(PCHAR buffer, ULONG length);
void log_reset(void);

/* image.c, at PASSIVE_LEVEL */
NTSTATUS image_open(disk *d, PCWSTR path);
NTSTATUS image_read(disk *d, ULONGLONG at, PVOID data, ULONG length);
NTSTATUS image_write(disk *d, ULONGLONG at, const void *data, ULONG length);
NTSTATUS image_flush(disk *d);
ULONGLONG checksum(ULONGLONG seed, const UCHAR *data, SIZE_T length);

/* port.c */
NTSTATUS port_create(const test_create *c, disk **out, NTSTATUS *image_status);
NTSTATUS port_scsi(disk *d, PIRP irp, PIO_STACK_LOCATION at);
void port_flush_queues(disk *d, UCHAR srb_status, NTSTATUS status);
void port_wake(disk *d);
void port_delete(disk *d);
disk *port_blank(void);

/* check.c */
BOOLEAN check_request(disk *d, PIRP irp, PIO_STACK_LOCATION at, request *r);
BOOLEAN parse_request(PVOID srb, request *r, const char **why);
void set_status(PVOID srb, UCHAR srb_status);

/* scsi.c */
BOOLEAN decode_extent(const UCHAR *cdb, ULONG length, extent *e);
NTSTATUS scsi_execute(disk *d, request *r, UCHAR *srb_status);
void look_for_patterns(disk *d, const UCHAR *data, ULONG n, ULONGLONG sector);
void fill_raw(UCHAR *data, ULONG n);
NTSTATUS scsi_sense(disk *d, request *r, UCHAR *srb_status, UCHAR key, UCHAR asc, UCHAR ascq);

/* pnp.c */
NTSTATUS port_pnp(disk *d, PIRP irp, PIO_STACK_LOCATION at);
NTSTATUS port_power(disk *d, PIRP irp, PIO_STACK_LOCATION at);
NTSTATUS port_ioctl(disk *d, PIRP irp, PIO_STACK_LOCATION at);

/* class.c */
NTSTATUS class_add(disk *d);
NTSTATUS class_pnp(disk *d, PIRP irp, PIO_STACK_LOCATION at);
NTSTATUS class_forward(disk *d, PIRP irp);
NTSTATUS class_control(disk *d, PIRP irp);
NTSTATUS send_pnp(disk *d, UCHAR minor, ULONG argument);
NTSTATUS send_power(disk *d, ULONG state);

NTSTATUS call_and_wait(PDEVICE_OBJECT to, PIRP irp);
ULONG query_pnp(disk *d, UCHAR minor, ULONG argument, PUCHAR bytes, ULONG room, ULONG *length);
NTSTATUS remove_without_class(PDEVICE_OBJECT pdo);

/* adapter.c */
NTSTATUS root_dispatch(PIRP irp, PIO_STACK_LOCATION at);
void adapter_create(const test_adapter *c, test_adapter_created *out);
NTSTATUS adapter_pnp(ULONG minor);
NTSTATUS adapter_power(ULONG state, ULONG *device_state);
NTSTATUS adapter_control(ULONG code, PVOID buffer, ULONG in, ULONG out, ULONG *length);
NTSTATUS adapter_setting(const test_setting *s);
ULONG adapter_invalidations(void);
void adapter_scan(const test_scan *scan, test_scanned *out);

/* direct.c */
ULONG direct_send(test_direct *t, ULONG in, ULONG out);

/* pci.c */
NTSTATUS pci_insert(PDEVICE_OBJECT root, const WCHAR *hardware);
void pci_remove(void);
void pci_pull(void);
void pci_resources(PIO_STACK_LOCATION to);
BOOLEAN pci_interface(PIO_STACK_LOCATION at);

/* packet.c */
packet *packet_new(disk *d, PUCHAR data, ULONG length);
void packet_free(packet *p);
NTSTATUS packet_send(packet *p);
void packet_build(packet *p, BOOLEAN extended, ULONG function, ULONG flags, const UCHAR *cdb, ULONG cdb_length);
PUCHAR packet_srb_status(packet *p);
PULONG packet_transferred(packet *p);
ULONG packet_cancel_all(disk *d);
BOOLEAN packet_owns(disk *d, PVOID srb);
NTSTATUS packet_sync(disk *d, ULONG function, ULONG flags, const UCHAR *cdb, ULONG cdb_length, PVOID data, ULONG length);
VOID NTAPI class_thread(PVOID context);

/* transfer.c */
NTSTATUS transfer_start(disk *d, PIRP irp, PIO_STACK_LOCATION at);
BOOLEAN transfer_done(packet *p);
NTSTATUS status_of(packet *p);

/* raw.c */
NTSTATUS raw_start(PIRP irp, PIO_STACK_LOCATION at);
void raw_done(packet *p);

static inline ULONGLONG be(const UCHAR *p, int n) { ULONGLONG v = 0; while (n--) v = v << 8 | *p++; return v; }
static inline void put_be(UCHAR *p, int n, ULONGLONG v) { while (n--) { p[n] = (UCHAR)v; v >>= 8; } }

#endif
