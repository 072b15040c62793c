/* Which drivers are loaded, and the DLL's own start. A driver counts if it
 * imports ntoskrnx.exe, or a driver that does (a miniport of its port); the loader tells us of each before its entry point
 * runs. Records stay after unload: late reports still find the name. */
#include "kernel.h"

typedef struct loaded_data { ULONG flags; UNICODE_STRING *full, *base; PVOID image; ULONG size; } loaded_data;
IMPORT NTSTATUS NTAPI LdrRegisterDllNotification(ULONG, void (NTAPI *)(ULONG, loaded_data *, PVOID), PVOID, PVOID *);

IMPORT NTSTATUS NTAPI LdrAddRefDll(ULONG flags, PVOID image);

static driver drivers[MAX_DRIVERS];
static LONG count;

driver *driver_number(ULONG i) { return i < (ULONG)count ? &drivers[i] : NULL; }

driver *driver_at(const void *address)
{
    for (LONG i = count; i-- > 0;)
        if (drivers[i].loaded && (SIZE_T)((char *)address - drivers[i].base) < drivers[i].size) return &drivers[i];
    return NULL;
}

driver *driver_named(const char *image)
{
    for (LONG i = count; i-- > 0;)
        if (same_name(image, drivers[i].name)) return &drivers[i];
    return NULL;
}

driver *driver_of_object(const DRIVER_OBJECT *object)
{
    for (LONG i = count; i-- > 0;)
        if (drivers[i].loaded && drivers[i].object == object) return &drivers[i];
    return NULL;
}

driver *driver_of_device(const DEVICE_OBJECT *device)
{
    return device ? driver_of_object(device->DriverObject) : NULL;
}

/* The driver whose code serves the device: for a miniport's, its port's. */
driver *server_of_device(const DEVICE_OBJECT *device)
{
    driver *d = driver_of_device(device), *code = d ? driver_at(d->dispatch[IRP_MJ_PNP]) : NULL;
    return code ? code : d;
}

static BOOLEAN imports_us(char *base)
{
    IMAGE_NT_HEADERS *nt = (void *)(base + *(LONG *)(base + 0x3c));
    IMAGE_DATA_DIRECTORY *dir = &nt->OptionalHeader.DataDirectory[1];
    if (!dir->VirtualAddress) return FALSE;
    /* import descriptors are five 32-bit words; the fourth is the name */
    for (ULONG *entry = (ULONG *)(base + dir->VirtualAddress); entry[3]; entry += 5)
        if (same_name(base + entry[3], "ntoskrnx.exe") || driver_named(base + entry[3])) return TRUE;
    return FALSE;
}

static void NTAPI notified(ULONG reason, loaded_data *data, PVOID context)
{
    char name[32];
    ULONG i;
    driver *d;
    if (reason != 1 /* loaded */ || !imports_us(data->image)) return;
    for (i = 0; i < sizeof name - 1 && i < data->base->Length / 2; i++) name[i] = (char)data->base->Buffer[i];
    name[i] = 0;
    d = driver_named(name);
    if (!d || d->loaded) {
        if (count == MAX_DRIVERS) return;
        d = &drivers[count];
        RtlCopyMemory(d->name, name, sizeof name);
        InterlockedIncrement(&count);
    }
    d->base = data->image;
    d->size = data->size;
    d->object = NULL;
    d->loaded = TRUE;
    hook_driver(d);
}

BOOLEAN NTAPI DllMain(PVOID instance, ULONG why, PVOID reserved)
{
    PVOID cookie;
    if (why == 3 /* thread detach */) thread_gone();
    if (why != 1 /* process attach */) return TRUE;
    LdrAddRefDll(1 /* pin: the log outlives the last driver */, instance);
    irql_start();
    dpc_start();
    AddVectoredExceptionHandler(1, fault_handler);
    return LdrRegisterDllNotification(0, notified, NULL, &cookie) == STATUS_SUCCESS;
}
