#!/usr/bin/env node
// Exists before the first build, so that npm links it when it installs the workspaces.
import '../dist/main.js';
