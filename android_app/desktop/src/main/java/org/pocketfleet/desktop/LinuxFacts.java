package org.pocketfleet.desktop;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.LinkedHashMap;
import java.util.Map;
import org.pocketfleet.energy.BatteryState;
import org.pocketfleet.message.Records;

/** What Linux tells of a device's memory and battery; nothing where there is nothing to tell. */
final class LinuxFacts {
  static final File POWER_SUPPLY = new File("/sys/class/power_supply");
  static final File MEMORY = new File("/proc/meminfo");

  private LinuxFacts() {}

  /**
   * Reads the facts as they are now, by their names on the wire.
   *
   * <p>A supply of power is a directory. The device's own batteries have no {@code scope}, or
   * {@code System}; others are those of mice and keyboards. Of several batteries the fullest
   * counts.
   */
  static Map<String, Object> of(File supplies, File memory) {
    Map<String, Object> facts = new LinkedHashMap<>();
    for (String line : read(memory).split("\n", -1)) {
      if (line.matches("MemTotal:\\s+\\d+ kB")) {
        facts.put(Records.MEMORY_BYTES, 1024 * Long.parseLong(line.replaceAll("\\D", "")));
      }
    }
    File[] found = supplies.listFiles();
    double percent = -1;
    boolean charging = false;
    boolean powered = false;
    for (File supply : found == null ? new File[0] : found) {
      String charge = read(new File(supply, "capacity"));
      if (!read(new File(supply, "type")).equals("Battery")) {
        powered |= read(new File(supply, "online")).matches("[12]");
      } else if (read(new File(supply, "scope")).matches("|System") && charge.matches("\\d{1,3}")) {
        percent = Math.max(percent, Math.min(100, Integer.parseInt(charge)));
        charging |= read(new File(supply, "status")).matches("Charging|Full|Not charging");
      }
    }
    if (percent >= 0) {
      facts.put(Records.BATTERY_PERCENT, percent);
      facts.put(Records.CHARGING, charging || powered);
    }
    return facts;
  }

  /** The battery as it is now, where there is one. */
  static BatteryState battery(File supplies) {
    Object percent = of(supplies, MEMORY).get(Records.BATTERY_PERCENT);
    double temperatureC = Double.NaN;
    File[] found = supplies.listFiles();
    for (File supply : found == null ? new File[0] : found) {
      String tenths = read(new File(supply, "temp"));
      boolean own =
          read(new File(supply, "type")).equals("Battery")
              && read(new File(supply, "scope")).matches("|System");
      if (own && tenths.matches("-?\\d{1,4}")) {
        temperatureC = Integer.parseInt(tenths) / 10.0;
      }
    }
    return new BatteryState(
        percent instanceof Double ? (double) percent : Double.NaN, temperatureC);
  }

  private static String read(File file) {
    try {
      return new String(Files.readAllBytes(file.toPath()), StandardCharsets.US_ASCII).trim();
    } catch (IOException absent) {
      return "";
    }
  }
}
