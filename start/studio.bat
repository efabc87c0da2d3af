@echo off
rem Installs impasto into the folder .venv of this repository on the first start, and opens the studio.
cd /d "%~dp0.."
if exist .venv\Scripts\impasto.exe goto start
echo Installing impasto. This takes a few minutes, once.
set PYTHON=
for %%v in (3.13 3.12 3.11) do if not defined PYTHON py -%%v -c "" >nul 2>nul && set PYTHON=py -%%v
if not defined PYTHON (
    echo Install Python 3.13 from https://www.python.org/downloads/windows/ and start again.
    pause
    exit /b 1
)
%PYTHON% -m venv .venv || goto failed
.venv\Scripts\python -m pip install --quiet --disable-pip-version-check ".[studio,heif]" || goto failed
:start
echo The studio opens in your browser. Close this window to stop it.
.venv\Scripts\impasto studio "%USERPROFILE%\impasto-studio"
if not errorlevel 1 exit /b 0
:failed
echo.
echo The message above says what is wrong.
pause
