package org.pocketfleet.desktop;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.pocketfleet.energy.BatteryState;

public class LinuxFactsTest {
  @Rule public final TemporaryFolder folder = new TemporaryFolder();

  @Test
  public void aBoardWithoutBatteryTellsItsMemoryAlone() throws IOException {
    supply("usb", "type", "USB", "online", "1");
    File memory = folder.newFile();
    write(memory, "MemTotal:        3884096 kB\nMemFree:          123 kB");
    assertEquals(
        Collections.singletonMap("memory-bytes", 3884096L * 1024),
        LinuxFacts.of(folder.getRoot(), memory));
  }

  @Test
  public void ofALaptopItsOwnBatteryCounts() throws IOException {
    supply("AC", "type", "Mains", "online", "0");
    supply("BAT0", "type", "Battery", "capacity", "41", "status", "Discharging");
    supply("mouse", "type", "Battery", "capacity", "90", "status", "Full", "scope", "Device");
    assertEquals(battery(41, false), facts());
    supply("AC", "type", "Mains", "online", "1");
    assertEquals(battery(41, true), facts());
  }

  @Test
  public void chargeAndTemperatureAreThoseOfTheOwnBattery() throws IOException {
    supply("BAT0", "type", "Battery", "capacity", "41", "status", "Full", "temp", "312");
    supply("mouse", "type", "Battery", "capacity", "90", "scope", "Device", "temp", "200");
    BatteryState battery = LinuxFacts.battery(folder.getRoot());
    assertEquals(41, battery.percent(), 0);
    assertEquals(31.2, battery.temperatureC(), 1e-9);
    File none = new File(folder.getRoot(), "none");
    assertTrue(Double.isNaN(LinuxFacts.battery(none).percent()));
  }

  @Test
  public void aBatteryThatTellsNoChargeIsNone() throws IOException {
    supply("BAT0", "type", "Battery", "capacity", "unknown", "status", "Charging");
    assertEquals(Collections.emptyMap(), facts());
  }

  @Test
  public void aSystemWithoutTheListTellsNothing() {
    File none = new File(folder.getRoot(), "none");
    assertEquals(Collections.emptyMap(), LinuxFacts.of(none, none));
  }

  private Map<String, Object> facts() {
    return LinuxFacts.of(folder.getRoot(), new File(folder.getRoot(), "none"));
  }

  private static Map<String, Object> battery(double percent, boolean charging) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("battery-percent", percent);
    facts.put("charging", charging);
    return facts;
  }

  private void supply(String name, String... values) throws IOException {
    File directory = new File(folder.getRoot(), name);
    directory.mkdirs();
    for (int i = 0; i < values.length; i += 2) {
      write(new File(directory, values[i]), values[i + 1]);
    }
  }

  private static void write(File file, String text) throws IOException {
    Files.write(file.toPath(), (text + "\n").getBytes(StandardCharsets.US_ASCII));
  }
}
