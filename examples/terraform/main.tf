# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Terraform makes machines and says where they are. In place of `terraform_data`, take your cloud's
# instance, with an image of NixOS or one that nixos-anywhere turns into NixOS.
locals {
  machines = {
    web1 = { groups = ["web"], address = "192.0.2.11" }
    web2 = { groups = ["web"], address = "192.0.2.12" }
    db1  = { groups = ["db"], address = "192.0.2.21" }
  }
}

resource "terraform_data" "machine" {
  for_each = local.machines
  input    = each.value.address
}

# The inventory, without any plugin: terraform output -raw inventory >inventory.json
output "inventory" {
  value = jsonencode({
    all = {
      vars = { ansible_user = "root" }
      hosts = {
        for name, machine in terraform_data.machine : name => { ansible_host = machine.output }
      }
      children = {
        for group in toset(flatten([for machine in local.machines : machine.groups])) : group => {
          hosts = { for name, machine in local.machines : name => {} if contains(machine.groups, group) }
        }
      }
    }
  })
}
