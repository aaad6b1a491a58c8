/// What 3D Slicer makes the module's panel from: the answer to `--xml`, in the words of the Slicer Execution Model.
///
/// Kept here and nowhere else: 3D Slicer asks a program without an .xml file beside it.
#ifndef SPINECT_SLICER_DESCRIPTION_HPP
#define SPINECT_SLICER_DESCRIPTION_HPP

#include <string>

/// The description of a program of this version.
inline std::string description(const std::string& version) {
  return R"xml(<?xml version="1.0" encoding="utf-8"?>
<executable>
  <category>Segmentation</category>
  <title>Spinect Segmentation</title>
  <description><![CDATA[Labels lumbosacral bone and nerve on plain CT. NOT A MEDICAL DEVICE: not for diagnosis or treatment. The result says what to know before anybody relies on it: read the warnings.]]></description>
  <version>)xml" + version +
         R"xml(</version>
  <documentation-url></documentation-url>
  <license>MIT or Apache-2.0</license>
  <contributor>The spinect authors</contributor>
  <acknowledgements></acknowledgements>
  <parameters>
    <label>Input and output</label>
    <description><![CDATA[What is segmented, by which model, and where the result goes.]]></description>
    <image type="scalar">
      <name>inputVolume</name>
      <label>CT</label>
      <description><![CDATA[A plain CT in Hounsfield units.]]></description>
      <channel>input</channel>
      <index>0</index>
    </image>
    <image type="label" fileExtensions=".seg.nrrd" reference="inputVolume">
      <name>outputSegmentation</name>
      <label>Segmentation</label>
      <description><![CDATA[The labels, on the grid of the CT: as a segmentation with names, colors and terminology, or as a label map.]]></description>
      <channel>output</channel>
      <index>1</index>
    </image>
    <file fileExtensions=".safetensors">
      <name>model</name>
      <longflag>--model</longflag>
      <label>Model</label>
      <description><![CDATA[A model file (.safetensors). None comes with this program.]]></description>
      <channel>input</channel>
    </file>
    <region coordinateSystem="ras">
      <name>region</name>
      <longflag>--region</longflag>
      <label>Region</label>
      <description><![CDATA[Only this box is segmented; in it, the result is that of the whole CT. Of a rotated box, the box along the axes around it. No box: the whole CT.]]></description>
    </region>
  </parameters>
  <parameters>
    <label>Distances</label>
    <description><![CDATA[How far points are from a structure. They are answered with the segmentation; the loadable module answers while a point moves.]]></description>
    <point multiple="true" coordinateSystem="ras">
      <name>point</name>
      <longflag>--point</longflag>
      <label>Points</label>
      <description><![CDATA[Points whose distance to the structure is told.]]></description>
    </point>
    <string>
      <name>structure</name>
      <longflag>--structure</longflag>
      <label>Structure</label>
      <description><![CDATA[The label, by its name in the model.]]></description>
      <default>nerve</default>
    </string>
    <double>
      <name>distance</name>
      <label>Smallest distance (mm)</label>
      <description><![CDATA[Of the points to the surface of the structure, in mm; negative inside it.]]></description>
      <channel>output</channel>
      <default></default>
    </double>
    <double>
      <name>volume</name>
      <label>Volume (ml)</label>
      <description><![CDATA[Of the structure.]]></description>
      <channel>output</channel>
      <default></default>
    </double>
    <string>
      <name>warnings</name>
      <label>Warnings</label>
      <description><![CDATA[What to know before relying on the result.]]></description>
      <channel>output</channel>
      <default></default>
    </string>
  </parameters>
  <parameters advanced="true">
    <label>Device</label>
    <description><![CDATA[Where the network runs.]]></description>
    <string-enumeration>
      <name>device</name>
      <longflag>--device</longflag>
      <label>Device</label>
      <description><![CDATA[auto: CUDA where the library has it and it works, else the CPU.]]></description>
      <default>auto</default>
      <element>auto</element>
      <element>cpu</element>
      <element>cuda</element>
    </string-enumeration>
    <integer>
      <name>threads</name>
      <longflag>--threads</longflag>
      <label>Threads</label>
      <description><![CDATA[0: one per core.]]></description>
      <default>0</default>
      <constraints>
        <minimum>0</minimum>
        <maximum>1024</maximum>
        <step>1</step>
      </constraints>
    </integer>
  </parameters>
</executable>
)xml";
}

#endif
