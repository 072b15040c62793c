<#
.SYNOPSIS
Builds, signs, installs and removes Sluice on Windows.

.DESCRIPTION
Builds sluice.sys and sluice.exe with the published windows-drivers-rs crates and the Windows Driver Kit, makes a catalog,
and signs with a test certificate of its own. Everything goes to target\package.

Written without a Windows machine and never run on one: see docs\testing.md.

.PARAMETER Platform
x64 (default) or arm64.

.PARAMETER Configuration
Release (default) or Debug.

.PARAMETER Trust
Puts the test certificate among the machine's trusted ones. On the test machine, elevated.

.PARAMETER Install
Adds the driver package and the command. On the test machine, elevated; restart afterwards. Implies nothing else: with
-Install alone, target\package is taken as it is.

.PARAMETER Uninstall
Takes Sluice out of the disks' filters and removes the package. Elevated; restart afterwards.

.EXAMPLE
.\build.ps1
.\build.ps1 -Trust -Install
#>
[CmdletBinding(DefaultParameterSetName = 'Build')]
param(
    [ValidateSet('x64', 'arm64')] [string] $Platform = 'x64',
    [ValidateSet('Release', 'Debug')] [string] $Configuration = 'Release',
    [Parameter(ParameterSetName = 'Install')] [switch] $Trust,
    [Parameter(ParameterSetName = 'Install')] [switch] $Install,
    [Parameter(ParameterSetName = 'Uninstall', Mandatory)] [switch] $Uninstall
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$DiskClass = 'HKLM:\System\CurrentControlSet\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}'
$CertificateName = 'CN=Sluice test signing'
$Root = $PSScriptRoot
$Package = Join-Path $Root 'target\package'
# INF files, each with a catalog of its own: the disks' filter, virtio block devices, disks in memory.
$Names = 'sluice', 'sluice-virtio', 'sluice-adapter'

function Stop-With([string] $What, [string] $Next) {
    throw "$What $Next"
}

# Runs a program and stops if it fails.
function Invoke-Tool([string] $Program, [string[]] $Arguments) {
    Write-Host "> $Program $($Arguments -join ' ')" -ForegroundColor DarkGray
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { Stop-With "$Program ended with $LASTEXITCODE." 'Its own words are above.' }
}

function Assert-Elevated {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $elevated = ([Security.Principal.WindowsPrincipal] $identity).IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
    if (-not $elevated) { Stop-With 'This needs administrator rights.' 'Start PowerShell with "Run as administrator".' }
}

# A tool of the WDK: the newest version that has it, or what an eWDK prompt put on PATH.
function Find-WdkTool([string] $Name) {
    $onPath = Get-Command $Name -ErrorAction SilentlyContinue
    if ($onPath) { return $onPath.Source }
    $key = 'HKLM:\SOFTWARE\Microsoft\Windows Kits\Installed Roots'
    $kits = Get-ItemProperty $key -Name KitsRoot10 -ErrorAction SilentlyContinue
    if (-not $kits) { Stop-With 'The Windows Driver Kit is not installed.' 'Install the WDK, or start from an eWDK prompt.' }
    foreach ($folder in 'bin', 'Tools') {
        $found = Get-ChildItem (Join-Path $kits.KitsRoot10 $folder) -Directory -ErrorAction SilentlyContinue |
            Where-Object Name -Match '^10\.' | Sort-Object { [version] $_.Name } -Descending |
            ForEach-Object { foreach ($machine in 'x64', 'x86') { Join-Path $_.FullName "$machine\$Name" } } |
            Where-Object { Test-Path $_ } | Select-Object -First 1
        if ($found) { return $found }
    }
    Stop-With "$Name is not in the Windows Kits." 'Install the WDK of the same version as the SDK.'
}

function Assert-Prerequisites {
    if (-not (Get-Command cargo -ErrorAction SilentlyContinue)) {
        Stop-With 'cargo is not on PATH.' 'Install Rust 1.90 or newer (rustup.rs), toolchain stable-msvc.'
    }
    if (-not (Get-Command clang -ErrorAction SilentlyContinue) -and -not $env:LIBCLANG_PATH) {
        Stop-With 'LLVM was not found, which bindgen needs.' 'winget install LLVM.LLVM, or set LIBCLANG_PATH.'
    }
}

function Get-TestCertificate {
    $existing = Get-ChildItem Cert:\CurrentUser\My -CodeSigningCert |
        Where-Object { $_.Subject -eq $CertificateName -and $_.NotAfter -gt (Get-Date) } | Select-Object -First 1
    if ($existing) { return $existing }
    New-SelfSignedCertificate -Type CodeSigningCert -Subject $CertificateName -KeyAlgorithm RSA -KeyLength 3072 `
        -HashAlgorithm SHA256 -CertStoreLocation Cert:\CurrentUser\My -NotAfter (Get-Date).AddYears(10)
}

function Build-Package {
    Assert-Prerequisites
    $target = @{ x64 = 'x86_64-pc-windows-msvc'; arm64 = 'aarch64-pc-windows-msvc' }[$Platform]
    $cargoProfile = @{ Release = 'release'; Debug = 'dev' }[$Configuration]
    $folder = @{ Release = 'release'; Debug = 'debug' }[$Configuration]
    $built = Join-Path $Root "target\$target\$folder"

    # wdk-build demands a static C runtime; the driver uses none.
    $env:RUSTFLAGS = '-Ctarget-feature=+crt-static'
    # zstd, the only C: it must not ask the linker for a C runtime, nor the processor for BMI2.
    $env:CFLAGS = '/Zl /DDYNAMIC_BMI2=0 /DNDEBUG'
    $common = @('--profile', $cargoProfile, '--target', $target)
    Push-Location $Root
    try {
        Invoke-Tool 'cargo' (@('build', '--package', 'sluice-kernel') + $common)
        Invoke-Tool 'cargo' (@('build', '--package', 'sluice-cli') + $common)
    } finally { Pop-Location }

    if (Test-Path $Package) { Remove-Item $Package -Recurse }
    New-Item $Package -ItemType Directory | Out-Null
    # rustc calls it a .dll because it is linked as one.
    Copy-Item "$built\sluice.dll" "$Package\sluice.sys"
    Copy-Item "$built\sluice.pdb" $Package -ErrorAction SilentlyContinue
    Copy-Item "$built\sluice.exe" $Package
    foreach ($name in $Names) { Copy-Item "$Root\inf\$name.inf" $Package }

    $os = @{ x64 = '10_X64'; arm64 = '10_RS3_ARM64' }[$Platform]
    Invoke-Tool (Find-WdkTool 'infverif.exe') (@('/v', '/w') + ($Names | ForEach-Object { "$Package\$_.inf" }))
    $certificate = Get-TestCertificate
    $signtool = Find-WdkTool 'signtool.exe'
    $sign = @('sign', '/fd', 'SHA256', '/sha1', $certificate.Thumbprint)
    Invoke-Tool $signtool ($sign + "$Package\sluice.sys")
    Invoke-Tool (Find-WdkTool 'inf2cat.exe') @("/driver:$Package", "/os:$os", '/uselocaltime')
    foreach ($name in $Names) { Invoke-Tool $signtool ($sign + "$Package\$name.cat") }
    Export-Certificate -Cert $certificate -FilePath "$Package\sluice-test.cer" | Out-Null
    Write-Host "Built and signed: $Package"
    Write-Host 'On the test machine: bcdedit /set testsigning on, restart, then .\build.ps1 -Trust -Install'
}

function Add-Trust {
    Assert-Elevated
    $file = "$Package\sluice-test.cer"
    if (-not (Test-Path $file)) { Stop-With "$file does not exist." 'Run .\build.ps1 first, or copy target\package here.' }
    foreach ($store in 'Root', 'TrustedPublisher') {
        Import-Certificate -FilePath $file -CertStoreLocation "Cert:\LocalMachine\$store" | Out-Null
    }
    Write-Host 'The test certificate is trusted on this machine.'
}

function Install-Package {
    Assert-Elevated
    if (-not (Test-Path "$Package\sluice.cat")) { Stop-With "There is no package in $Package." 'Run .\build.ps1 first.' }
    $testSigning = (& bcdedit /enum '{current}') -match 'testsigning\s+Yes'
    if (-not $testSigning) {
        Stop-With 'Test signing is off: Windows would not load the driver, and disks whose filter does not load do not start.' `
            'Run "bcdedit /set testsigning on" and restart (Secure Boot must be off).'
    }
    Invoke-Tool 'pnputil' @('/add-driver', "$Package\sluice.inf", '/install')
    # A copy of its own: what is installed must not hang on this folder.
    $program = New-Item (Join-Path $env:ProgramFiles 'Sluice') -ItemType Directory -Force
    Copy-Item "$Package\sluice.exe" $program.FullName -Force
    Write-Host "Installed; the command is $($program.FullName)\sluice.exe. Restart: filters join a disk when its stack is built."
}

# The names in the disk class's list, none if there is no list.
function Get-LowerFilters {
    $class = Get-ItemProperty $DiskClass
    if ($class.PSObject.Properties['LowerFilters']) { $class.LowerFilters }
}

function Uninstall-Package {
    Assert-Elevated
    # First of all: a disk whose filter is registered and missing does not start, and Windows may lie on it.
    $others = @(Get-LowerFilters | Where-Object { $_ -ne 'sluice' })
    if ($others.Count -gt 0) {
        Set-ItemProperty $DiskClass -Name LowerFilters -Value ([string[]] $others) -Type MultiString
    } else {
        Remove-ItemProperty $DiskClass -Name LowerFilters -ErrorAction SilentlyContinue
    }
    if (@(Get-LowerFilters) -contains 'sluice') {
        Stop-With "sluice is still among the disks' LowerFilters." 'Nothing else was removed.'
    }

    $packages = Get-WindowsDriver -Online | Where-Object { $Names -contains [IO.Path]::GetFileNameWithoutExtension($_.OriginalFileName) }
    foreach ($one in $packages) { Invoke-Tool 'pnputil' @('/delete-driver', $one.Driver, '/uninstall') }
    Write-Host 'Removed. Restart: until then the driver stays loaded. Sluice disks keep their data, encrypted.'
}

if ($Uninstall) { Uninstall-Package; return }
if (-not ($Trust -or $Install)) { Build-Package; return }
if ($Trust) { Add-Trust }
if ($Install) { Install-Package }
