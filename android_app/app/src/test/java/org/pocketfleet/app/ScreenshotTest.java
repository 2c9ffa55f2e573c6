package org.pocketfleet.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.view.View;
import android.view.ViewGroup;
import android.widget.TextView;
import com.google.gson.JsonObject;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Collections;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.pocketfleet.client.RoundLog;
import org.pocketfleet.message.Task;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/**
 * Draws the screen with Android's own drawing code, into {@code target/screenshots}, and checks on
 * every picture that no text is cut off.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class ScreenshotTest {
  private static final String PHONE = "w360dp-h740dp-port-%s-xhdpi";
  private static final String SMALL = "w320dp-h568dp-port-%s-xhdpi";
  private static final String WIDE = "w740dp-h360dp-land-%s-xhdpi";

  @Rule public final Phone phone = new Phone();

  @Test
  public void notSetUp() throws Exception {
    draw("setup-light", PHONE, false, 1f);
    draw("setup-small-dark", SMALL, true, 1f);
  }

  @Test
  public void training() throws Exception {
    configured();
    rounds(3);
    StatusBoard board = Fleet.get().board();
    board.working(task());
    board.step(31, 80);
    draw("training-light", PHONE, false, 1f);
    draw("training-dark", PHONE, true, 1f);
    draw("training-small-large-text", SMALL, false, 1.5f);
    draw("training-landscape", WIDE, true, 1f);
  }

  @Test
  public void idle() throws Exception {
    configured();
    rounds(9);
    Fleet.get().board().stopped("");
    draw("idle-light", PHONE, false, 1f);
  }

  @Test
  public void problem() throws Exception {
    Settings.Builder settings = configured().change();
    settings.insecure = true;
    SettingsStore.save(phone.app, settings.build());
    Fleet.get()
        .board()
        .failed(Words.of(new javax.net.ssl.SSLHandshakeException("certificate unknown")));
    draw("problem-dark", PHONE, true, 1f);
    draw("problem-small-large-text", SMALL, false, 2f);
  }

  private Settings configured() {
    Settings.Builder builder = phone.configured().change();
    builder.server = "192.168.1.10:8000";
    builder.ca = "certificate";
    builder.name = "Pixel on the shelf";
    File pictures = new File(Places.data(phone.app), "chosen");
    for (int i = 0; i < 10; i++) {
      assertTrue(new File(pictures, "digit-" + i).mkdirs());
    }
    builder.data = pictures.getPath();
    SettingsStore.save(phone.app, builder.build());
    return builder.build();
  }

  private static Task task() {
    return new Task("train", Collections.emptyMap(), Collections.singletonMap("server-round", 10L));
  }

  /** Writes a log as the client does. */
  private void rounds(int count) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (int i = 1; i <= count; i++) {
      JsonObject metrics = new JsonObject();
      metrics.addProperty("train-loss", 2.31 / (1 + 0.4 * i));
      metrics.addProperty("energy-j", i == 2 ? -1 : 21.7 + i);
      JsonObject info = new JsonObject();
      info.addProperty(
          "energy-source",
          "battery current × voltage, whole device, 2.0 Hz, coverage 100 %, µA confirmed by the"
              + " charge counter, quality good");
      JsonObject line = new JsonObject();
      line.addProperty("kind", "train");
      line.addProperty("round", i);
      line.addProperty("seconds", 14.2 + i / 10.0);
      line.add("metrics", metrics);
      line.add("info", info);
      if (i == count - 1) {
        line.addProperty("problem", "declined: the battery is at 21 %, below 30 %");
      }
      lines.append(line).append('\n');
    }
    Files.write(
        new File(Places.state(phone.app), RoundLog.FILE_NAME).toPath(),
        lines.toString().getBytes(StandardCharsets.UTF_8));
  }

  private void draw(String name, String screen, boolean night, float fontScale) throws IOException {
    RuntimeEnvironment.setQualifiers(String.format(screen, night ? "night" : "notnight"));
    RuntimeEnvironment.setFontScale(fontScale);
    try (ActivityController<MainActivity> controller =
        Robolectric.buildActivity(MainActivity.class).setup()) {
      MainActivity activity = controller.get();
      TextView place = activity.findViewById(R.id.key_place);
      phone.until("the key is there", () -> place.length() > 0);
      View window = activity.getWindow().getDecorView();
      // The whole page, as if the screen were as high as it: nothing hides below the fold.
      ViewGroup page = activity.findViewById(R.id.page);
      int width = window.getWidth();
      int height =
          Math.max(window.getHeight(), page.getChildAt(0).getHeight() + page.getPaddingTop());
      window.measure(
          View.MeasureSpec.makeMeasureSpec(width, View.MeasureSpec.EXACTLY),
          View.MeasureSpec.makeMeasureSpec(height, View.MeasureSpec.EXACTLY));
      window.layout(0, 0, width, height);
      Bitmap bitmap = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888);
      window.draw(new Canvas(bitmap));
      File folder = new File("target/screenshots");
      assertTrue(folder.isDirectory() || folder.mkdirs());
      try (FileOutputStream out = new FileOutputStream(new File(folder, name + ".png"))) {
        assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, out));
      }
      whole(name, page);
    }
  }

  /** Checks that every text has the room it needs, and every button is big enough for a finger. */
  private static void whole(String name, View view) {
    if (view instanceof ViewGroup) {
      ViewGroup group = (ViewGroup) view;
      for (int i = 0; i < group.getChildCount(); i++) {
        whole(name, group.getChildAt(i));
      }
    } else if (view instanceof TextView && view.isShown()) {
      TextView text = (TextView) view;
      String words = name + ": " + text.getText();
      int room = view.getHeight() - view.getPaddingTop() - view.getPaddingBottom();
      assertTrue(words, text.getLayout().getHeight() <= room + 1);
      for (int line = 0; line < text.getLineCount(); line++) {
        assertEquals(words, 0, text.getLayout().getEllipsisCount(line));
        assertTrue(words, text.getLayout().getLineMax(line) <= view.getWidth());
      }
      if (view.isClickable() && !text.isTextSelectable()) {
        float dp = view.getHeight() / view.getResources().getDisplayMetrics().density;
        assertTrue(words + ": " + dp + " dp high", dp >= 48);
      }
    }
  }
}
