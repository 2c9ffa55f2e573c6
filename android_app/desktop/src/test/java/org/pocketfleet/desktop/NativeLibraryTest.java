package org.pocketfleet.desktop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.io.File;
import org.junit.Test;
import org.tensorflow.lite.TensorFlowLite;

public class NativeLibraryTest {
  @Test
  public void loadsFromItsOwnFilesAndLeavesNoneBehind() throws Exception {
    File temporary = new File(System.getProperty("java.io.tmpdir"));
    String[] before = temporary.list((dir, name) -> name.startsWith("pocketfleet-"));
    NativeLibrary.load();
    NativeLibrary.load();
    assertEquals("2.16.1", TensorFlowLite.runtimeVersion());
    assertArrayEquals(before, temporary.list((dir, name) -> name.startsWith("pocketfleet-")));
  }

  @Test
  public void onlyLinuxOnX8664IsSupported() {
    assertTrue(NativeLibrary.isSupported("Linux", "amd64"));
    assertFalse(NativeLibrary.isSupported("Linux", "aarch64"));
    assertFalse(NativeLibrary.isSupported("Mac OS X", "x86_64"));
  }
}
