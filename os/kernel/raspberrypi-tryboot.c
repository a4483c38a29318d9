// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passes `reboot "0 tryboot"` on to a Raspberry Pi's firmware, which then reads tryboot.txt instead of
 * config.txt, once. Raspberry Pi's own kernel does this in its firmware driver; the one upstream, and so
 * Debian's, does not (docs/decisions/0019-raspberry-pi-boot.md).
 *
 * A notifier, and no file to write to: the flag is set when the machine does restart, and never otherwise.
 */

#define pr_fmt(text) KBUILD_MODNAME ": " text

#include <linux/module.h>
#include <linux/of.h>
#include <linux/reboot.h>
#include <linux/string.h>
#include <soc/bcm2835/raspberrypi-firmware.h>

/* Not in the header upstream. */
#define SET_REBOOT_FLAGS 0x00038064
#define TRYBOOT 1

/* By which it is loaded, too: it is a second driver beside that of this device, and never bound to it. */
static const struct of_device_id firmware_ids[] = {
	{ .compatible = "raspberrypi,bcm2835-firmware" },
	{ }
};
MODULE_DEVICE_TABLE(of, firmware_ids);

static struct rpi_firmware *firmware;

static int before_reboot(struct notifier_block *block, unsigned long action, void *command)
{
	u32 flags = TRYBOOT;
	int error;

	/* The partition goes before the word; it is always the usual one here. */
	if (action != SYS_RESTART || !command || strcmp(command, "0 tryboot"))
		return NOTIFY_DONE;
	error = rpi_firmware_property(firmware, SET_REBOOT_FLAGS, &flags, sizeof(flags));
	if (error)
		pr_err("the firmware does not take the flag (%d): the version that is good starts again\n", error);
	else
		pr_notice("the firmware was told to try the other version once\n");
	return NOTIFY_DONE;
}

static struct notifier_block notifier = { .notifier_call = before_reboot };

static int __init tryboot_init(void)
{
	struct device_node *node = of_find_matching_node(NULL, firmware_ids);
	int error;

	firmware = node ? rpi_firmware_get(node) : NULL;
	of_node_put(node);
	if (!firmware)
		return -ENODEV;
	error = register_reboot_notifier(&notifier);
	if (error)
		rpi_firmware_put(firmware);
	return error;
}

static void __exit tryboot_exit(void)
{
	unregister_reboot_notifier(&notifier);
	rpi_firmware_put(firmware);
}

module_init(tryboot_init);
module_exit(tryboot_exit);
MODULE_DESCRIPTION("Raspberry Pi: one-shot start of another version");
MODULE_LICENSE("GPL");
