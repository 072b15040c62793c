/* sluice_stage.h: how another driver takes part in what Sluice does with a disk's I/O.
 *
 * A stage is a pair of functions that see every I/O of an unlocked volume: on the way down before the disk does, and on
 * the way up after it. docs/stages.md explains it with an example; driver/chain/src/abi.rs and registration.rs say the
 * same in Rust, and a test compares sizes, offsets and numbers.
 *
 * Include ntddk.h or wdm.h first to have sluice_get_interface as well.
 */
#ifndef SLUICE_STAGE_H
#define SLUICE_STAGE_H

#include <stddef.h>
#include <stdint.h>

#define SLUICE_ABI_VERSION 0x00010000u /* another major version (high 16 bits) is refused */
#define SLUICE_MAX_STAGES 8
#define SLUICE_STAGE_WORDS 4

/* What an I/O does. Expect others. */
#define SLUICE_READ 0u    /* the payload is filled by the disk */
#define SLUICE_WRITE 1u   /* the payload is read, and never written */
#define SLUICE_FLUSH 2u   /* no payload, no sectors */
#define SLUICE_DISCARD 3u /* the payload is one segment: an array of sluice_extent */
#define SLUICE_VERIFY 4u  /* sectors, no payload */

/* How. */
#define SLUICE_FUA 1u     /* durable before it is acknowledged */
#define SLUICE_PAGING 2u  /* of the memory manager: must make progress without allocating */

/* How it went. */
#define SLUICE_OK 0u
#define SLUICE_DEVICE 1u /* the disk's own status stands */
#define SLUICE_OUT_OF_RANGE 2u
#define SLUICE_INVALID 3u
#define SLUICE_MEDIUM 4u
#define SLUICE_WRITE_PROTECTED 5u
#define SLUICE_LOCKED 6u
#define SLUICE_NO_SPACE 7u
#define SLUICE_BUSY 8u
#define SLUICE_NO_DEVICE 9u
#define SLUICE_CANCELLED 10u
#define SLUICE_INTERNAL 11u

/* What a stage answers. */
#define SLUICE_CONTINUE 0u /* go on */
#define SLUICE_DONE 1u     /* on the way down: the I/O ends here, with the status that the stage has put into it */
#define SLUICE_PENDING 2u  /* the stage keeps it, and calls resume, once; from any thread, also before it returns */

/* What a stage needs. Transformers only. */
#define SLUICE_SPARE_ON_WRITE 1u

/* What a stage does with what it sees. */
#define SLUICE_OBSERVER 1u    /* looks, may delay, may end an I/O with an error; comes and goes at any time */
#define SLUICE_TRANSFORMER 2u /* changes data; part of the volumes that were formatted with it, and of no other */

/* Where it is put. */
#define SLUICE_ABOVE 1u /* above the volume's own stages: plaintext, sectors of the volume */
#define SLUICE_BELOW 2u /* below them: what the disk sees. Not in mapped volumes */

#define SLUICE_EVERY_DISK 0u

typedef struct sluice_segment {
    uint8_t *address; /* mapped, not paged, for as long as the I/O lasts */
    size_t length;
} sluice_segment;

typedef struct sluice_extent {
    uint64_t sector;
    uint64_t count;
} sluice_extent;

struct sluice_io;

typedef struct sluice_host {
    uint32_t size;
    uint32_t reserved;
    uint64_t (*now)(void); /* nanoseconds; up to DISPATCH_LEVEL */
    void (*resume)(struct sluice_io *io, uint32_t verdict); /* up to DISPATCH_LEVEL */
} sluice_host;

/* One I/O. A stage has it from a call until its answer, or until it resumes it. */
typedef struct sluice_io {
    uint32_t size;
    uint32_t direction;
    uint32_t flags;
    uint32_t status;
    uint64_t sector;
    uint32_t length;      /* bytes */
    uint32_t transferred; /* on the way up */
    uint32_t sector_size;
    uint32_t segment_count;
    const sluice_segment *segments;
    sluice_segment spare;        /* see sluice_private_payload */
    sluice_segment private_copy;
    const sluice_host *host;
    uint32_t position;  /* from here on the host's own */
    uint32_t phase;
    uint64_t entered;
    uint32_t handshake;
    uint32_t reserved;
    uint64_t state[SLUICE_MAX_STAGES][SLUICE_STAGE_WORDS]; /* see sluice_state */
} sluice_io;

/* A stage. request and completion run at up to DISPATCH_LEVEL, on any thread, several at once. */
typedef struct sluice_stage {
    uint32_t size;    /* sizeof(sluice_stage) */
    uint32_t version; /* SLUICE_ABI_VERSION */
    char name[16];    /* printable ASCII, padded with zeros */
    uint32_t needs;
    uint32_t reserved; /* 0 */
    uint32_t (*request)(const void *context, sluice_io *io);
    uint32_t (*completion)(const void *context, sluice_io *io);
    void (*detach)(const void *context); /* the last call; PASSIVE_LEVEL, inside unregister_stage */
} sluice_stage;

typedef struct sluice_registration {
    uint32_t size; /* sizeof(sluice_registration) */
    uint32_t kind;
    uint32_t place;
    uint32_t altitude; /* the highest is on top; no two may have the same */
    uint32_t disk;     /* as `sluice status` shows it, or SLUICE_EVERY_DISK */
    uint32_t reserved; /* 0 */
    const sluice_stage *stage;
    const void *context;
} sluice_registration;

typedef struct sluice_registered {
    uint64_t handle;
    uint32_t disk;
    uint32_t kind;
    uint32_t place;
    uint32_t altitude;
    char name[16];
} sluice_registered;

/* Every function at PASSIVE_LEVEL, and not from inside a stage. Each answers an NTSTATUS; docs/stages.md has them all. */
typedef struct sluice_stage_interface {
    uint32_t size;
    uint32_t version;
    int32_t (*register_stage)(const sluice_registration *registration, uint64_t *handle);
    int32_t (*unregister_stage)(uint64_t handle);
    int32_t (*list_stages)(sluice_registered *lines, uint32_t room, uint32_t *count); /* lines: not paged */
} sluice_stage_interface;

/* IRP_MJ_INTERNAL_DEVICE_CONTROL of \Device\SluiceControl: input the version that the caller speaks (uint32_t), output
 * the interface. */
#define SLUICE_GET_INTERFACE 0x80532040u

/* The stage's own words of an I/O: zero on the way down, kept until the way up. */
static inline uint64_t *sluice_state(sluice_io *io)
{
    return io->state[io->position % SLUICE_MAX_STAGES];
}

/* The payload of a write as io->length bytes that a transformer may change, on the way down. What the caller wrote is
 * copied first, unless a stage above has done so. NULL: there is no memory; end the I/O with SLUICE_INTERNAL. */
static inline uint8_t *sluice_private_payload(sluice_io *io)
{
    uint8_t *to = io->spare.address;
    if (io->segments == &io->private_copy) return io->private_copy.address;
    if (!to || io->spare.length < io->length) return NULL;
    for (uint32_t n = 0; n < io->segment_count; n++)
        for (size_t i = 0; i < io->segments[n].length; i++) *to++ = io->segments[n].address[i];
    io->private_copy.address = io->spare.address;
    io->private_copy.length = io->length;
    io->spare.address = NULL;
    io->spare.length = 0;
    io->segments = &io->private_copy;
    io->segment_count = 1;
    return io->private_copy.address;
}

#if defined(_NTDDK_) || defined(_WDMDDK_)
/* Asks Sluice for its interface. PASSIVE_LEVEL. The file object keeps sluice.sys loaded: give it back with
 * ObDereferenceObject after the last stage has been unregistered. */
static inline NTSTATUS sluice_get_interface(sluice_stage_interface *out, PFILE_OBJECT *file)
{
    UNICODE_STRING name;
    PDEVICE_OBJECT device;
    KEVENT done;
    IO_STATUS_BLOCK answer;
    ULONG version = SLUICE_ABI_VERSION;
    NTSTATUS status;
    PIRP irp;
    RtlInitUnicodeString(&name, L"\\Device\\SluiceControl");
    status = IoGetDeviceObjectPointer(&name, FILE_READ_DATA, file, &device);
    if (!NT_SUCCESS(status)) return status;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    irp = IoBuildDeviceIoControlRequest(SLUICE_GET_INTERFACE, device, &version, sizeof version, out,
                                        sizeof *out, TRUE, &done, &answer);
    status = STATUS_INSUFFICIENT_RESOURCES;
    if (irp) {
        status = IoCallDriver(device, irp);
        if (status == STATUS_PENDING) {
            KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
            status = answer.Status;
        }
    }
    if (!NT_SUCCESS(status)) ObDereferenceObject(*file);
    return status;
}
#endif

#endif
