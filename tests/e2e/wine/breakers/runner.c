#include <windows.h>
#include <stdio.h>
#include "breaker.h"
static const char *const names[][2] = {
#define SIN(name, rule) { #name, rule },
#include "sins.h"
};
int main(void)
{
    static char log[300000]; DWORD n;
    SC_HANDLE scm = OpenSCManagerA(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    SC_HANDLE s = CreateServiceA(scm, "breaker", "breaker", SERVICE_ALL_ACCESS, SERVICE_KERNEL_DRIVER, SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, "C:\\drv\\breaker.sys", NULL, NULL, NULL, NULL, NULL);
    printf("start %d %lu\n", StartServiceA(s, 0, NULL), GetLastError());
    HANDLE h = CreateFileA("\\\\.\\Breaker", GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
    printf("open %p %lu\n", h, GetLastError());
    for (DWORD i = 0; i < sizeof names / sizeof *names; i++) {
        DeviceIoControl(h, BREAKER_RESET, NULL, 0, NULL, 0, &n, NULL);
        int r = DeviceIoControl(h, BREAKER_SIN, &i, 4, NULL, 0, &n, NULL);
        DeviceIoControl(h, BREAKER_REPORT, NULL, 0, log, sizeof log, &n, NULL);
        printf("%s %d: %s", names[i][0], r, log); fflush(stdout);
    }
    CloseHandle(h); SERVICE_STATUS st; ControlService(s, SERVICE_CONTROL_STOP, &st); DeleteService(s);
}
