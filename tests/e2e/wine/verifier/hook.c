/* Stands between the kernel and a driver's entry points. The driver's own code
 * and image file stay as they are: in memory, a jump is laid over its entry
 * point until the first call, and afterwards the driver object's table leads to
 * the verifier first. */
#include "kernel.h"

IMPORT NTSTATUS NTAPI LdrUnloadDll(PVOID image);

static char *entry_of(driver *d)
{
    IMAGE_NT_HEADERS *nt = (void *)(d->base + *(LONG *)(d->base + 0x3c));
    return d->base + nt->OptionalHeader.AddressOfEntryPoint;
}

static void poke(char *at, const UCHAR *bytes)
{
    ULONG old;
    VirtualProtect(at, 12, 0x40 /* rwx */, &old);
    RtlCopyMemory(at, bytes, 12);
    VirtualProtect(at, 12, old, &old);
}

static NTSTATUS NTAPI add_device(DRIVER_OBJECT *object, DEVICE_OBJECT *pdo)
{
    driver *d = driver_of_object(object);
    callout c;
    NTSTATUS st;
    irql_at_most(PASSIVE_LEVEL, "AddDevice", d->add_device);
    c = callout_enter(self()->irql, d->add_device);
    st = d->add_device(object, pdo);
    for (DEVICE_OBJECT *device = object->DeviceObject; device; device = device->NextDevice)
        if (device->Flags & DO_DEVICE_INITIALIZING)
            violation("device.initializing", d->add_device, "AddDevice returned with DO_DEVICE_INITIALIZING set in device %p", device);
    callout_leave(&c, "AddDevice");
    return st;
}

static void NTAPI unload(DRIVER_OBJECT *object)
{
    driver *d = driver_of_object(object);
    callout c = callout_enter(PASSIVE_LEVEL, d->unload);
    d->unload(object);
    callout_leave(&c, "DriverUnload");
    driver_gone(d, d->unload);
}

/* Leaves the driver's objects to nobody and reports them. */
void driver_gone(driver *d, void *where)
{
    frames_check_unload(d, where);
    object_leaks(d, TRUE);
    object_forget_owner(d);
    lock_order_forget(d->base, d->size);
    d->object = NULL;
    d->loaded = FALSE;
}

static NTSTATUS NTAPI entry(DRIVER_OBJECT *object, UNICODE_STRING *path)
{
    driver *d = driver_at(object->DriverStart);
    callout c;
    NTSTATUS st;
    DRIVER_INITIALIZE *real = (DRIVER_INITIALIZE *)entry_of(d);
    poke((char *)real, d->entry_bytes);
    d->object = object;
    c = callout_enter(PASSIVE_LEVEL, real);
    st = real(object, path);
    callout_leave(&c, "DriverEntry");
    if (!NT_SUCCESS(st)) {
        driver_gone(d, real);
        LdrUnloadDll(d->base); /* Wine would keep the image, and its variables, for the next attempt */
        return st;
    }
    for (int i = 0; i <= IRP_MJ_MAXIMUM_FUNCTION; i++) {
        DRIVER_DISPATCH *theirs = object->MajorFunction[i];
        d->dispatch[i] = driver_at(theirs) ? theirs : irp_unhandled;
        object->MajorFunction[i] = irp_dispatch;
    }
    /* the I/O manager does this for devices made by DriverEntry */
    for (DEVICE_OBJECT *device = object->DeviceObject; device; device = device->NextDevice)
        device->Flags &= ~DO_DEVICE_INITIALIZING;
    if (object->DriverUnload) { d->unload = object->DriverUnload; object->DriverUnload = unload; }
    if (object->DriverExtension->AddDevice) {
        d->add_device = object->DriverExtension->AddDevice;
        object->DriverExtension->AddDevice = add_device;
    }
    return st;
}

void hook_driver(driver *d)
{
    UCHAR jump[12] = { 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0 }; /* mov rax, imm64; jmp rax */
    void *to = entry;
    RtlCopyMemory(jump + 2, &to, 8);
    RtlCopyMemory(d->entry_bytes, entry_of(d), 12);
    poke(entry_of(d), jump);
}
