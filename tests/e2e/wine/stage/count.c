/* A stage that counts what is read and written on every unlocked disk. */
#include <ntddk.h>
#include <sluice_stage.h>

static sluice_stage_interface sluice;
static PFILE_OBJECT file;
static uint64_t handle;
static volatile LONG64 requests, bytes;

static uint32_t on_request(const void *context, sluice_io *io)
{
    InterlockedIncrement64(&requests);
    if (io->direction == SLUICE_READ || io->direction == SLUICE_WRITE) InterlockedExchangeAdd64(&bytes, io->length);
    return SLUICE_CONTINUE;
}

static uint32_t on_completion(const void *context, sluice_io *io)
{
    return SLUICE_CONTINUE;
}

static void on_detach(const void *context)
{
    DbgPrint("count: %I64d requests, %I64d bytes\n", requests, bytes);
}

static const sluice_stage stage = {
    sizeof stage, SLUICE_ABI_VERSION, "count", 0, 0, on_request, on_completion, on_detach,
};

static VOID NTAPI unload(PDRIVER_OBJECT driver)
{
    sluice.unregister_stage(handle); /* waits until no I/O is inside; calls on_detach */
    ObDereferenceObject(file);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path)
{
    sluice_registration what = {
        .size = sizeof what, .kind = SLUICE_OBSERVER, .place = SLUICE_ABOVE, .altitude = 1000,
        .disk = SLUICE_EVERY_DISK, .stage = &stage,
    };
    NTSTATUS status = sluice_get_interface(&sluice, &file);
    if (!NT_SUCCESS(status)) return status;
    status = sluice.register_stage(&what, &handle);
    if (!NT_SUCCESS(status)) ObDereferenceObject(file);
    else driver->DriverUnload = unload;
    return status;
}
